"""What 50 MB of CSV cost to predict, against reading them with pandas and predicting: time, and memory.

Each way has a process of its own, and they take turns; the figures are the medians of the rounds.
(Not called csv.py: what runs beside a file of that name would import it for the standard library's.)
Run with BLAS and OpenMP threads pinned::

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
from modelgate.schema import csv_fast

ROUNDS = 5
CSV_BYTES = 50_000_000
SPARE_MIB = 64
BASE = "read_csv + predict"


def whole(body: bytes, model: Any, schema: Schema) -> int:
    """What one would write."""
    return len(model.predict(pandas.read_csv(io.BytesIO(body))))


def in_chunks(body: bytes, model: Any, schema: Schema) -> int:
    """What one would write with a care for memory."""
    return sum(len(model.predict(frame)) for frame in pandas.read_csv(io.BytesIO(body), chunksize=8192))


def checked(body: bytes, model: Any, schema: Schema) -> int:
    """The schema's tables, one after the other."""
    return sum(len(model.predict(table.to_pandas())) for table in schema.iter_csv(body))


def checked_without_pandas(body: bytes, model: Any, schema: Schema) -> int:
    """The same, where pandas reads nothing; scikit-learn would not bear a gap in sys.modules."""
    with patch.object(csv_fast, "blocks_of", lambda *told: iter([None])):
        return checked(body, model, schema)


WAYS = {
    BASE: whole,
    "read_csv in chunks + predict": in_chunks,
    "iter_csv + predict": checked,
    "iter_csv by polars + predict": checked_without_pandas,
}


def measure(way: str) -> dict[str, float]:
    """What one way takes over 50 MB in this process."""
    score = WAYS[way]
    frame, target = load_breast_cancer(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, target)
    schema = Schema.from_model(model)
    head, _, lines = frame.to_csv(index=False).encode().partition(b"\n")
    # The libraries' own start is no part of it.
    score(head + b"\n" + lines * 3, model, schema)
    body = b"".join([head, b"\n", *[lines] * (CSV_BYTES // len(lines))])  # no second copy: memory is measured
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    score(body, model, schema)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    # Memory is what the first time takes, and speed what a server has that has been up for a while.
    cpu, start = time.process_time(), time.perf_counter()
    rows = score(body, model, schema)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"rows": rows, "seconds": seconds, "cpu": cpu, "mib": more, "body_mib": len(body) / 2**20}


def main() -> None:
    """Print the table."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, found in told.items():
            done = subprocess.run([sys.executable, __file__, way], check=True, capture_output=True)
            found.append(json.loads(done.stdout))
    median = {
        way: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for way, found in told.items()
    }
    base = median[BASE]
    allowed = base["body_mib"] + SPARE_MIB
    print(
        f"{'50 MB of CSV to predictions':32}{'krows/s':>10}{'of base':>10}{'CPU s':>8}{'of base':>10}{'MiB more':>10}"
    )
    for way, run in median.items():
        speed, by_time, by_cpu = (
            run["rows"] / run["seconds"] / 1000,
            base["seconds"] / run["seconds"],
            base["cpu"] / run["cpu"],
        )
        print(f"{way:32}{speed:10.0f}{by_time:10.2f}{run['cpu']:8.2f}{by_cpu:10.2f}{run['mib']:10.0f}")
    print(f"{'goal':32}{'':10}{'>= 0.9':>10}{'':18}{f'< {allowed:.0f}':>10}")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1]))) if len(sys.argv) > 1 else main()
