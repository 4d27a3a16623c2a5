"""Compare ``modelgate score --model`` with ``read_csv`` + ``predict``, each with one process per core.

Both read the same CSV file. The command also checks the rows, and writes predictions and probabilities as CSV. The
base ``write`` writes them, too, with `predict_proba` + `to_csv`. The variants take turns, and figures are medians.
CPU time includes the processes' start; it is what to compare on a busy machine::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/bulk.py [ROWS] [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelgate.models import ModelPackage

NUMBERS, TEXTS = ["age", "income", "tenure", "score"], ["plan", "region"]
WORKERS = os.cpu_count() or 1
SCORE = "from modelgate.cli import main; main()"
BASE = """
import sys, pandas
from multiprocessing import get_context
from modelgate.models import ModelPackage

def predict(model, frame, part):
    model.predict(frame)

def write(model, frame, part):
    probabilities = model.predict_proba(frame)
    out = pandas.DataFrame(probabilities, columns=[f"probability_{label}" for label in model.classes_])
    out.insert(0, "prediction", model.classes_[probabilities.argmax(axis=1)])
    out.to_csv(part + ".out", mode="a", index=False)

def run(part):
    model = ModelPackage.load(sys.argv[1]).model
    for frame in pandas.read_csv(part, chunksize=50_000):
        {"predict": predict, "write": write}[sys.argv[2]](model, frame, part)

if __name__ == "__main__":
    with get_context("spawn").Pool(len(sys.argv) - 3) as pool:
        pool.map(run, sys.argv[3:], chunksize=1)
"""
MEASURE = """
import resource, subprocess, sys, time

started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wall, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)
"""


def write_files(folder: Path, name: str, rows: int) -> int:
    """Write the model of the columns *name*, the rows, and a part of the rows for each process.

    Returns:
        Number of rows, a multiple of 100,000.
    """
    columns = NUMBERS if name == "numbers" else NUMBERS + TEXTS
    random = np.random.default_rng(0)
    frame = pandas.DataFrame({column: random.normal(40, 9, 100_000).round(3) for column in NUMBERS})
    frame["plan"] = random.choice(["free", "pro", "team"], len(frame))
    frame["region"] = random.choice(["north", "south", "east", "west"], len(frame))
    encode = ColumnTransformer(
        [("numbers", StandardScaler(), NUMBERS), ("texts", OneHotEncoder(), columns[len(NUMBERS) :])]
    )
    churned = np.where(frame["age"] > 40, "yes", "no")
    model = make_pipeline(encode, LogisticRegression()).fit(frame[columns], churned)
    ModelPackage.from_estimator(model, frame[columns], name="churn").save(folder / "churn.mgpkg")
    header, end, lines = frame[columns].to_csv(index=False).encode().partition(b"\n")
    blocks = max(rows // len(frame), WORKERS)
    counts = {f"part{part}.csv": blocks // WORKERS + (part < blocks % WORKERS) for part in range(WORKERS)}
    for path, count in (counts | {"big.csv": blocks}).items():
        with folder.joinpath(path).open("wb") as file:
            file.write(header + end)
            file.writelines(repeat(lines, count))
    return blocks * len(frame)


def measure(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run *command*, and return its wall time and CPU time in seconds, and the largest process in MB.

    A small process starts the command, because the peak memory that the system reports for a process
    includes that of the process that forked it.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, *command],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    wall, cpu, megabytes = map(float, done.stdout.split())
    return wall, cpu, megabytes


def main(rows: int = 1_000_000, rounds: int = 3) -> None:
    """Print the table."""
    print(
        f"{'columns':9}{'base':9}{'rows':>12}{'base rows/s':>13}{'score rows/s':>14}{'of base':>9}{'CPU':>7}{'MB':>6}"
    )
    # Without .pyc files, each process would compile all modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in ("numbers", "mixed"):
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            scored = write_files(folder, name, rows)
            folder.joinpath("base.py").write_text(BASE)
            parts = [f"part{part}.csv" for part in range(WORKERS)]
            score = ["-c", SCORE, "score", "big.csv", "--model", "churn.mgpkg", "--workers", str(WORKERS)]
            score += ["--rows", "50000", "--overwrite", "-o", "out.csv"]
            measure(score, folder)  # Writes missing .pyc files.
            bases = ("predict", "write")
            commands = {base: ["base.py", "churn.mgpkg", base, *parts] for base in bases} | {"score": score}
            runs = [
                {key: measure(command, folder) for key, command in commands.items()} for _ in range(rounds)
            ]
            megabytes = max(run["score"][2] for run in runs)
        for base in bases:
            speed, ours = (scored / statistics.median(run[key][0] for run in runs) for key in (base, "score"))
            by_time, by_cpu = (
                statistics.median(run[base][figure] / run["score"][figure] for run in runs)
                for figure in (0, 1)
            )
            print(
                f"{name:9}{base:9}{scored:12,}{speed:13,.0f}{ours:14,.0f}{by_time:9.2f}{by_cpu:7.2f}{megabytes:6.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
