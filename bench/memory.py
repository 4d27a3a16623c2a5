"""Compare the memory of a gate and a bare server with the same model; time imports and package loading.

The servers are those of `serve.py`. Each is measured after two seconds of eight connections::

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
from modelgate.models.load_policy import LoadPolicy
from modelgate.models.package_files import read_package_metadata
from serve import (
    CACHE,
    OURS,
    SERVERS,
    Load,
    Server,
    fit_models,
    install,
    measure_load,
    run_server,
    save_model,
    wait_for,
)

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


def measure_memory(server: Server, name: str, folder: Path) -> float:
    """Return the resident memory in MiB of *server* with the model *name*, after some work."""
    model, row = fit_models()[name]
    with run_server(server, save_model(folder, name, model, row)) as (port, process):
        wait_for(port, server, row)
        measure_load(port, server, Load([], 8), row)
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def time_import(statement: str) -> float:
    """Return the seconds of CPU of an import, in a new process."""
    command = [str(CACHE / "ours" / "bin" / "python"), "-c", TIMED.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def time_best(call: Callable[[], object], repeats: int) -> float:
    """Return the milliseconds of the fastest of several calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def print_packages() -> None:
    """Print the time to load a package with a logistic pipeline, and to read its metadata."""
    rows = np.random.default_rng(0).normal(size=(100, 2))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "churn.mgpkg"
        ModelPackage.from_estimator(model, rows).save(path)
        loading, reading = (
            time_best(lambda: ModelPackage.load(path), 50),
            time_best(lambda: read_package_metadata(path, LoadPolicy()), 200),
        )
    print(f"{'load a package':44}{f'{loading:.1f} ms':>12}{'':22}{'< 10':>10}")
    print(f"{'read its manifest and schema':44}{f'{reading:.2f} ms':>12}{'':22}{'< 1':>10}")


def main() -> None:
    """Print the table."""
    if not install("ours"):
        sys.exit(1)
    print(f"{'':44}{'ours':>12}{'bare':>12}{'more':>10}{'goal':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("logistic", "forest"):
            ours, bare = (
                statistics.median(measure_memory(server, name, Path(folder)) for _ in range(3))
                for server in (OURS, SERVERS["bare"])
            )
            figures = f"{f'{ours:.1f} MiB':>12}{f'{bare:.1f} MiB':>12}{ours - bare:10.1f}"
            print(f"{f'resident with the model {name}':44}{figures}{'<= 8':>10}")
    for statement in IMPORTS:
        seconds = statistics.median(time_import(statement) for _ in range(ROUNDS))
        print(f"{f'{statement}, CPU':44}{f'{seconds:.3f} s':>12}{'':22}{'<= 0.2':>10}")
    print_packages()


if __name__ == "__main__":
    main()
