"""What it costs to read rows: bytes in, a checked table out, against what one would write without it.

In process, in CPU time, no server. Both sides of a comparison take turns in one run, and the figure
is the median of the rounds. Run with BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/validation.py
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas
import pydantic

from modelgate import Schema
from modelgate.schema import CSV

ROUNDS = 15


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


def main() -> None:
    """Print the tables."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    one_row()
    many_rows()


if __name__ == "__main__":
    main()
