"""What the gate takes of memory, above a bare server with the same model; and what importing it takes of time.

The servers are those of `serve.py`, each looked at after two seconds of eight connections::

    python bench/memory.py
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from serve import CACHE, OURS, SERVERS, Load, Server, fitted, installed, loaded, saved, serving, wait_for

ROUNDS = 5
IMPORTS = ("import modelgate", "from modelgate import Deployment, Gate")
TIMED = """
import sys, time
start = time.process_time()
{}
taken = time.process_time() - start
assert not {{"sklearn", "pandas", "polars"}} & set(sys.modules)
print(taken)
"""


def resident(server: Server, name: str, folder: Path) -> float:
    """MiB of *server* with the model *name*, after some work."""
    model, row = fitted()[name]
    with serving(server, saved(folder, name, model, row)) as (port, process):
        wait_for(port, server, row)
        loaded(port, server, Load([], 8), row)
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def importing(statement: str) -> float:
    """Seconds of CPU of an import, in a process of its own."""
    command = [str(CACHE / "ours" / "bin" / "python"), "-c", TIMED.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    """Print the table."""
    if not installed("ours"):
        sys.exit(1)
    print(f"{'':44}{'ours':>12}{'bare':>12}{'more':>10}{'goal':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("logistic", "forest"):
            ours, bare = (
                statistics.median(resident(server, name, Path(folder)) for _ in range(3))
                for server in (OURS, SERVERS["bare"])
            )
            told = f"{f'{ours:.1f} MiB':>12}{f'{bare:.1f} MiB':>12}{ours - bare:10.1f}"
            print(f"{f'resident with the model {name}':44}{told}{'<= 8':>10}")
    for statement in IMPORTS:
        taken = statistics.median(importing(statement) for _ in range(ROUNDS))
        print(f"{f'{statement}, CPU':44}{f'{taken:.3f} s':>12}{'':22}{'<= 0.2':>10}")


if __name__ == "__main__":
    main()
