"""What the gate takes of memory, above a bare server with the same model; and how long imports and packages take.

The servers are those of `serve.py`, each looked at after two seconds of eight connections::

    python bench/memory.py
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import ModelPackage
from modelgate.models.package import sidecars_of
from modelgate.models.rules import Rules
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


def best(call: Callable[[], object], times: int) -> float:
    """Milliseconds of the fastest of several calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken) * 1e3


def packages() -> None:
    """Print how long it takes to load a package with a logistic pipeline, and to read its manifest and schema."""
    rows = np.random.default_rng(0).normal(size=(100, 2))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "churn.mgpkg"
        ModelPackage.from_estimator(model, rows).save(path)
        loading, reading = (
            best(lambda: ModelPackage.load(path), 50),
            best(lambda: sidecars_of(path, Rules()), 200),
        )
    print(f"{'load a package':44}{f'{loading:.1f} ms':>12}{'':22}{'< 10':>10}")
    print(f"{'read its manifest and schema':44}{f'{reading:.2f} ms':>12}{'':22}{'< 1':>10}")


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
    packages()


if __name__ == "__main__":
    main()
