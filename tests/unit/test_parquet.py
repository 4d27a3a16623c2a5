"""Scoring of Parquet files."""

import csv
import datetime
import decimal
import io
import math
import sys

import click.testing
import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from modelgate import ConfigurationError
from modelgate.bulk import checkpoint, csv_file
from modelgate.bulk.input import Input
from modelgate.cli.root import cli

TYPES = {
    pyarrow.float64(): st.floats(allow_infinity=False),
    pyarrow.float32(): st.floats(width=32, allow_infinity=False),
    pyarrow.int64(): st.integers(-(2**63), 2**63 - 1),
    pyarrow.bool_(): st.booleans(),
    pyarrow.string(): st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    pyarrow.dictionary(pyarrow.int8(), pyarrow.string()): st.sampled_from(["free", "pro", 'a "quoted" text']),
    pyarrow.date32(): st.dates(),
    pyarrow.decimal128(6, 2): st.decimals(-999, 999, places=2),
}
COLUMNS = st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4)


def read_rows(content, chunk=7, done=None):
    """Return the chunks of a file, and its header."""
    with csv_file.open_csv(io.BytesIO(content), "rows.parquet", len(content)) as opened:
        source = Input(opened, "rows.parquet")
        done = done or checkpoint.Checkpoint(target={}, chunk=chunk)
        return source.header, list(source.chunks(chunk, done))


def to_parquet(table, **options):
    content = io.BytesIO()
    parquet.write_table(table, content, **options)
    return content.getvalue()


def parse(cell, kind):
    """Return the value of a cell in a column of the type *kind*; None for an empty one."""
    if cell == "":
        return None
    if pyarrow.types.is_floating(kind):
        return float(cell)
    if kind == pyarrow.bool_():
        return {"true": True, "false": False}[cell]
    readers = {
        pyarrow.int64(): int,
        pyarrow.date32(): datetime.date.fromisoformat,
        pyarrow.decimal128(6, 2): decimal.Decimal,
    }
    return readers.get(kind, str)(cell)


@pytest.mark.slow
@given(st.data(), COLUMNS)
def test_parquet_cells_have_the_values_of_the_file(data, kinds):
    rows = data.draw(
        st.lists(st.tuples(*(st.none() | TYPES[kind] for kind in kinds)), min_size=1, max_size=20)
    )
    columns = [
        pyarrow.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)
    ]
    names = [f"column {index}" for index in range(len(kinds))]
    header, chunks = read_rows(to_parquet(pyarrow.table(columns, names), row_group_size=3))
    lines = b"".join(b"".join(chunk.rows.data) for chunk in chunks).decode()
    cells = list(csv.reader(io.StringIO(lines, newline="")))

    assert ",".join(names) == header.decode().strip()
    missing = ("", None)
    assert [[None if value in missing or value != value else value for value in row] for row in rows] == [
        [parse(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in cells
    ]


def test_parquet_moments_are_iso_8601():
    moment = datetime.datetime(2026, 3, 1, 12, 30)
    columns = {
        "local": pyarrow.array([moment], pyarrow.timestamp("us")),
        "zoned": pyarrow.array([moment], pyarrow.timestamp("ns", "Europe/Berlin")),
    }
    _, [chunk] = read_rows(to_parquet(pyarrow.table(columns)))

    assert [b"2026-03-01 12:30:00.000000,2026-03-01 12:30:00.000000000Z\n"] == list(chunk.rows.data)


def test_parquet_input_continues_at_any_chunk():
    content = to_parquet(pyarrow.table({"age": range(20), "note": ["a", 'b "', "c\nd", ""] * 5}))
    _, chunks = read_rows(content, 3)

    assert (7, 1.0) == (len(chunks), chunks[-1].fraction)
    for index, chunk in enumerate(chunks):
        done = checkpoint.Checkpoint(
            target={}, chunk=3, offset=chunk.offset, digest=chunk.digest, line=chunk.line
        )
        rest = read_rows(content, 3, done)[1]
        assert [list(c.rows.data) for c in chunks[index + 1 :]] == [list(c.rows.data) for c in rest]


@pytest.mark.parametrize("kind", [pyarrow.list_(pyarrow.int64()), pyarrow.binary(), pyarrow.duration("s")])
def test_parquet_columns_without_cells_are_rejected(kind):
    content = to_parquet(pyarrow.table({"age": [1], "other": pyarrow.nulls(1, kind)}))
    with pytest.raises(ConfigurationError, match=r"\(got other: [a-z]+.*\): drop or convert the column"):
        read_rows(content)


def test_damaged_parquet_is_reported():
    content = to_parquet(pyarrow.table({"age": np.arange(10_000.0)}), write_page_checksum=True)
    for damaged in (content[:-20], content.replace(content[4000:4100], b"\xff" * 100)):
        with pytest.raises(ConfigurationError, match=r"^rows\.parquet is damaged or incomplete: "):
            read_rows(damaged)


def test_parquet_from_a_pipe_is_rejected():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    content = to_parquet(pyarrow.table({"age": [1]}))
    with (
        pytest.raises(ConfigurationError, match="pipe: pass the file instead of -"),
        csv_file.open_csv(Pipe(content), "standard input", None),
    ):
        pass


def test_parquet_needs_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[parquet\]"'):
        read_rows(b"PAR1\0")


APP = """
from modelgate import Deployment, Gate, Schema
gate = Gate([Deployment("d", lambda table: table["age"] * 2, schema=Schema.of(age=float))], keys="open")
"""


@pytest.mark.slow
def test_score_of_a_parquet_file_gives_the_output_for_csv(tmp_path, monkeypatch):
    """Rejected rows are reported with the same lines, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tmp_path.joinpath("parquet_app.py").write_text(APP)
    ages = ["1.5", "old", "", "3", math.pi, "x,y"]
    parquet.write_table(pyarrow.table({"age": list(map(str, ages)), "id": range(6)}), "rows.parquet")
    with tmp_path.joinpath("rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("age", "id"), *zip(ages, range(6), strict=True)])
    outputs = []
    for path in ("rows.parquet", "rows.csv"):
        command = [
            "score",
            path,
            "--overwrite",
            "--gate",
            "parquet_app:gate",
            "--workers",
            "1",
            "--keep",
            "id",
        ]
        done = click.testing.CliRunner().invoke(cli, command)
        files = [tmp_path / f"rows.predictions{suffix}" for suffix in (".csv", ".errors.csv")]
        outputs.append([file.read_text() for file in files])

        assert 1 == done.exit_code, done.output
    assert outputs[0] == outputs[1]
    assert ["id,prediction", "0,3.0", '1,""'] == outputs[0][0].splitlines()[:3]
    assert '3,age must be a number,"old,1"' == outputs[0][1].splitlines()[1]


def test_parquet_without_rows_has_a_header():
    assert (b"age,id\n", []) == read_rows(to_parquet(pyarrow.table({"age": [1], "id": [2]}).slice(1)))
