"""Compare predictions for 50 MB of CSV with pandas.read_csv and predict: time and memory.

Each variant has its own process, and they take turns; figures are the median of the rounds. Run with BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/large_csv.py
"""

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any
from unittest.mock import patch

import pandas
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import Schema
from modelgate.schema import csv_fast_path

ROUNDS = 5
CSV_BYTES = 50_000_000
SPARE_MIB = 64
BASE = "read_csv + predict"


def at_once(body: bytes, model: Any, schema: Schema) -> int:
    """Read everything with pandas, then predict."""
    return len(model.predict(pandas.read_csv(io.BytesIO(body))))


def in_chunks(body: bytes, model: Any, schema: Schema) -> int:
    """Read and predict in chunks."""
    return sum(len(model.predict(frame)) for frame in pandas.read_csv(io.BytesIO(body), chunksize=8192))


def checked(body: bytes, model: Any, schema: Schema) -> int:
    """Predict one table of the schema after the other."""
    return sum(len(model.predict(table.to_pandas())) for table in schema.iter_csv(body))


def checked_without_pandas(body: bytes, model: Any, schema: Schema) -> int:
    """Like `checked`, but without the fast path. (scikit-learn needs pandas in sys.modules.)"""
    with patch.object(csv_fast_path, "parse_blocks", lambda *args: iter([None])):
        return checked(body, model, schema)


VARIANTS = {
    BASE: at_once,
    "read_csv in chunks + predict": in_chunks,
    "iter_csv + predict": checked,
    "the same without pandas's reader": checked_without_pandas,
}


def measure(variant: str) -> dict[str, float]:
    """Run one variant over 50 MB in this process and return the figures."""
    score = VARIANTS[variant]
    frame, target = load_breast_cancer(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, target)
    schema = Schema.from_model(model)
    head, _, lines = frame.to_csv(index=False).encode().partition(b"\n")
    # Warm up, to leave out the start of the libraries.
    score(head + b"\n" + lines * 3, model, schema)
    body = b"".join(
        [head, b"\n", *[lines] * (CSV_BYTES // len(lines))]
    )  # A second copy would distort the memory figure.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    score(body, model, schema)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    # Memory is measured on the first run, speed on the second, like that of a warm server.
    cpu, start = time.process_time(), time.perf_counter()
    rows = score(body, model, schema)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"rows": rows, "seconds": seconds, "cpu": cpu, "mib": more, "body_mib": len(body) / 2**20}


def main() -> None:
    """Print the table."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(ROUNDS):
        for variant, figures in runs.items():
            done = subprocess.run([sys.executable, __file__, variant], check=True, capture_output=True)
            figures.append(json.loads(done.stdout))
    median = {
        variant: {key: statistics.median(run[key] for run in figures) for key in figures[0]}
        for variant, figures in runs.items()
    }
    base = median[BASE]
    allowed = base["body_mib"] + SPARE_MIB
    print(
        f"{'50 MB of CSV to predictions':32}{'krows/s':>10}{'of base':>10}{'CPU s':>8}{'of base':>10}{'MiB more':>10}"
    )
    for variant, run in median.items():
        speed, by_time, by_cpu = (
            run["rows"] / run["seconds"] / 1000,
            base["seconds"] / run["seconds"],
            base["cpu"] / run["cpu"],
        )
        print(f"{variant:32}{speed:10.0f}{by_time:10.2f}{run['cpu']:8.2f}{by_cpu:10.2f}{run['mib']:10.0f}")
    print(f"{'goal':32}{'':10}{'>= 0.9':>10}{'':18}{f'< {allowed:.0f}':>10}")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1]))) if len(sys.argv) > 1 else main()
