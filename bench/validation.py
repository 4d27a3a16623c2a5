"""What it costs to read rows: bytes in, a checked table out, against what one would write without it.

In process, in CPU time, no server. Both sides of a comparison take turns in one run, and the figure
is the median of the rounds; those over 50 MB of CSV have a process each, for their memory. Run with
BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/validation.py
"""

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas
import pydantic
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import Schema
from modelgate.schema import CSV, csv_fast

ROUNDS, CSV_ROUNDS = 15, 5
CSV_BYTES = 50_000_000
SPARE_MIB = 64


def names(count: int) -> list[str]:
    """The columns of a body."""
    return [f"column {at}" for at in range(count)]


def rows_of(rows: int, columns: int) -> list[dict[str, float]]:
    """Numbers of six digits, as people send them."""
    numbers = np.random.default_rng(0).normal(scale=100, size=(rows, columns)).round(4).tolist()
    return [dict(zip(names(columns), row, strict=True)) for row in numbers]


def schema_of(columns: int) -> Schema:
    """As many numbers."""
    return Schema.of(**dict.fromkeys(names(columns), float))


def csv_of(rows: list[dict[str, float]]) -> CSV:
    """The same rows in CSV."""
    return CSV(pandas.DataFrame(rows).to_csv(index=False).encode())


def compare(count: int, *asked: Callable[[], object]) -> list[float]:
    """Microseconds of CPU of each, taking turns."""
    times: list[list[float]] = [[] for _ in asked]
    for turn in range(ROUNDS + 1):
        for ask, spent in zip(asked, times, strict=True):
            start = time.process_time()
            for _ in range(count):
                ask()
            if turn:  # the first turn warms up
                spent.append((time.process_time() - start) / count * 1e6)
    return [statistics.median(spent) for spent in times]


def one_row() -> None:
    """Rows alone: bytes to table."""
    row, wide = rows_of(1, 30), rows_of(1, 200)
    schema, schema_200 = schema_of(30), schema_of(200)
    body, body_200, body_csv = msgspec.json.encode(row[0]), msgspec.json.encode(wide[0]), csv_of(row)
    found = compare(
        1_000,
        lambda: schema.read(body),
        lambda: schema_200.read(body_200),
        lambda: schema.read(body_csv),
    )
    print(f"{'us of CPU for one row':44}{'took':>10}{'goal':>10}")
    told = ("30 columns of JSON", "200 columns of JSON", "30 columns of CSV")
    for name, took, goal in zip(told, found, (8, 40, 30), strict=True):
        print(f"{name:44}{took:10.1f}{f'< {goal}':>10}")


def many_rows() -> None:
    """A batch, against the two usual ways to write it."""
    rows, schema = rows_of(1_000, 30), schema_of(30)
    body, rows_body = msgspec.json.encode({"rows": rows}), msgspec.json.encode(rows)
    fields: dict[str, Any] = {
        f"c{at}": (float, pydantic.Field(alias=name)) for at, name in enumerate(names(30))
    }
    row_model = pydantic.create_model("Row", **fields)
    body_model = pydantic.create_model("Body", rows=(list[row_model], ...))  # type: ignore[valid-type]
    validate = pydantic.TypeAdapter(body_model).validate_python
    ours, by_pandas, by_pydantic = compare(
        10,
        lambda: schema.read(rows_body),
        lambda: pandas.DataFrame(json.loads(body)["rows"]),
        lambda: validate(json.loads(body)),
    )
    print(f"\n{'us of CPU for 1,000 rows x 30':32}{'theirs':>10}{'took':>10}{'times':>10}{'goal':>10}")
    for name, took, goal in (
        ("pandas.DataFrame(json.loads)", by_pandas, 5),
        ("json.loads + pydantic", by_pydantic, 4),
    ):
        print(f"{name:32}{took:10.0f}{ours:10.0f}{took / ours:10.1f}{f'>= {goal}':>10}")


def large_csv() -> None:
    """50 MB of CSV to predictions, against read_csv and predict: rows a second, and memory."""
    told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(CSV_ROUNDS):
        for way, found in told.items():
            done = subprocess.run([sys.executable, __file__, way], check=True, capture_output=True)
            found.append(json.loads(done.stdout))
    median = {
        way: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for way, found in told.items()
    }
    base = median["read_csv + predict"]
    allowed = base["body_mib"] + SPARE_MIB
    print(f"\n{'50 MB of CSV to predictions':32}{'krows/s':>10}{'of base':>10}{'CPU s':>10}{'MiB more':>10}")
    for way, run in median.items():
        speed, cpu = run["rows"] / run["seconds"] / 1000, run["cpu"]
        print(f"{way:32}{speed:10.0f}{base['seconds'] / run['seconds']:10.2f}{cpu:10.2f}{run['mib']:10.0f}")
    print(f"{'goal':32}{'':10}{'>= 0.9':>10}{'':10}{f'< {allowed:.0f}':>10}")


def whole(body: bytes, model: Any, schema: Schema) -> int:
    """What one would write."""
    return len(model.predict(pandas.read_csv(io.BytesIO(body))))


def chunked(body: bytes, model: Any, schema: Schema) -> int:
    """The schema's tables, one after the other."""
    return sum(len(model.predict(table.to_pandas())) for table in schema.iter_csv(body))


WAYS = {
    "read_csv + predict": (whole, True),
    "iter_csv with polars": (chunked, True),
    "iter_csv with pandas alone": (chunked, False),
}


def no_polars(lines: bytes, width: int) -> Any:
    """Stands for a library that is not there; scikit-learn would not bear a gap in sys.modules."""
    raise ImportError("polars")


def measure(way: str) -> None:
    """Run one way over 50 MB in this process, and say in JSON what it took."""
    score, polars = WAYS[way]
    if not polars:
        csv_fast._by_polars = no_polars
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
    print(
        json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "mib": more, "body_mib": len(body) / 2**20})
    )


def main() -> None:
    """Print the tables."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    one_row()
    many_rows()
    large_csv()


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
