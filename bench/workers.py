"""Memory of one and of four worker processes that serve the same large model.

Prints the proportional set size (PSS) of all processes: a page that several processes share counts once. Linux only.

    python bench/workers.py [--megabytes 500] [--workers 4]

- separate: each process loads the package.
- array_dir: the same, with Gate(array_dir=…).
- fork: one process loads the package and forks the others, as gunicorn --preload and modelgate serve --workers do.
"""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.neighbors import KNeighborsRegressor

from modelgate import Deployment, Gate, ModelPackage

COLUMNS = 50


def fit_neighbors(megabytes: int) -> KNeighborsRegressor:
    """Fit a model whose training rows take *megabytes*."""
    rows = np.random.default_rng(0).normal(size=(megabytes * 10**6 // (8 * COLUMNS), COLUMNS))
    return KNeighborsRegressor(algorithm="brute").fit(rows, rows[:, 0])


def fit_forest(megabytes: int) -> RandomForestRegressor:
    """Fit a tree that has one leaf per row, and copy it as often as necessary: a node and its value take 72 bytes."""
    rows = np.random.default_rng(0).normal(size=(200_000, COLUMNS)).astype(np.float32)
    forest = RandomForestRegressor(1, max_features=1, random_state=0).fit(rows, rows[:, 0])
    nodes = forest.estimators_[0].tree_.node_count
    trees = max(1, megabytes * 10**6 // (72 * nodes))
    forest.estimators_ = [copy.deepcopy(forest.estimators_[0]) for _ in range(trees)]
    forest.n_estimators = len(forest.estimators_)
    return forest


MODELS = {"neighbors": fit_neighbors, "forest": fit_forest}


def serve(path: Path, mode: str, workers: int) -> None:
    """Load the package, score a row in each process, print a line for each, and wait for the end of stdin."""
    gate = Gate(
        [Deployment("m", path)],
        keys="open",
        array_dir=path.parent / "arrays" if mode == "array_dir" else None,
    )
    gate.deployments.warm()
    if mode == "fork":
        children: list[int] = []
        while len(children) < workers and 0 not in children:
            children.append(os.fork())
        if 0 not in children:
            for child in children:
                os.waitpid(child, 0)
            return
    gate.score("m", np.zeros((1, COLUMNS)))
    os.write(1, b"ready\n")
    sys.stdin.read()


def pss(pid: int) -> float:
    """Return the proportional set size of the process *pid* in MB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0]) * 1024 / 10**6


def measure(path: Path, mode: str, workers: int) -> float:
    """Return the PSS of *workers* processes, and of a parent in the mode ``"fork"``, in MB."""
    command = [sys.executable, __file__, "--serve", str(path), "--mode", mode, "--workers", str(workers)]
    started = 1 if mode == "fork" else workers
    servers = [subprocess.Popen(command, stdin=-1, stdout=-1) for _ in range(started)]
    for server in servers:
        assert server.stdout is not None
        for _ in range(workers // started):
            assert server.stdout.readline() == b"ready\n"
    pids = [server.pid for server in servers]
    pids += [
        int(child) for pid in pids for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]
    total = sum(pss(pid) for pid in pids)
    for server in servers:
        server.communicate()
    return total


def main() -> None:
    """Measure each model in each mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.mode, options.workers)
        return
    for name, fit in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.mgpkg")
            ModelPackage.from_estimator(fit(options.megabytes), np.zeros((20, COLUMNS))).save(path)
            print(f"{name}: package of {path.stat().st_size / 10**6:.0f} MB")
            for mode in ("separate", "array_dir", "fork"):
                one, several = (measure(path, mode, count) for count in (1, options.workers))
                ratio = f"{several / one:.2f}"
                print(
                    f"{mode:>10}: {one:6.0f} MB, {options.workers} workers: {several:6.0f} MB, ratio {ratio}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
