"""Compare reading and validating rows with pandas and pydantic: bytes in, checked table out.

In process, in CPU time, without a server. Both sides take turns in one run; figures are the median of the
rounds. Run with BLAS and OpenMP threads pinned::

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


def column_names(count: int) -> list[str]:
    """Return column names."""
    return [f"column {index}" for index in range(count)]


def make_rows(rows: int, columns: int) -> list[dict[str, float]]:
    """Return rows of numbers with four decimals."""
    numbers = np.random.default_rng(0).normal(scale=100, size=(rows, columns)).round(4).tolist()
    return [dict(zip(column_names(columns), row, strict=True)) for row in numbers]


def make_schema(columns: int) -> Schema:
    """Return a schema of number columns."""
    return Schema.of(**dict.fromkeys(column_names(columns), float))


def to_csv(rows: list[dict[str, float]]) -> CSV:
    """Return *rows* as CSV."""
    return CSV(pandas.DataFrame(rows).to_csv(index=False).encode())


def compare(count: int, *functions: Callable[[], object]) -> list[float]:
    """Return the microseconds of CPU of each function; the functions take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(ROUNDS + 1):
        for function, spent in zip(functions, times, strict=True):
            start = time.process_time()
            for _ in range(count):
                function()
            if turn:  # The first turn warms up.
                spent.append((time.process_time() - start) / count * 1e6)
    return [statistics.median(spent) for spent in times]


def one_row() -> None:
    """Print the cost of single rows."""
    row, wide = make_rows(1, 30), make_rows(1, 200)
    schema, schema_200 = make_schema(30), make_schema(200)
    body, body_200, body_csv = msgspec.json.encode(row[0]), msgspec.json.encode(wide[0]), to_csv(row)
    times = compare(
        1_000,
        lambda: schema.read(body),
        lambda: schema_200.read(body_200),
        lambda: schema.read(body_csv),
    )
    print(f"{'us of CPU for one row':44}{'took':>10}{'goal':>10}")
    labels = ("30 columns of JSON", "200 columns of JSON", "30 columns of CSV")
    for name, microseconds, goal in zip(labels, times, (8, 40, 30), strict=True):
        print(f"{name:44}{microseconds:10.1f}{f'< {goal}':>10}")


def many_rows() -> None:
    """Print the cost of a batch, compared to the two usual alternatives."""
    rows, schema = make_rows(1_000, 30), make_schema(30)
    body, rows_body = msgspec.json.encode({"rows": rows}), msgspec.json.encode(rows)
    fields: dict[str, Any] = {
        f"c{index}": (float, pydantic.Field(alias=name)) for index, name in enumerate(column_names(30))
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
    for name, theirs, goal in (
        ("pandas.DataFrame(json.loads)", by_pandas, 5),
        ("json.loads + pydantic", by_pydantic, 4),
    ):
        print(f"{name:32}{theirs:10.0f}{ours:10.0f}{theirs / ours:10.1f}{f'>= {goal}':>10}")


def main() -> None:
    """Print the tables."""
    for option in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(option) != "1":
            sys.exit(f"set {option}=1")
    one_row()
    many_rows()


if __name__ == "__main__":
    main()
