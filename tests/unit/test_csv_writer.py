"""CSV writing. Any reader must return the same cells."""

import csv
import io

import msgspec
import numpy as np
import pandas
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgate.codecs.csv_records import format_records
from modelgate.codecs.csv_writer import write_csv
from modelgate.schema import read_passthrough_columns

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def read_csv(raw):
    return list(csv.reader(io.StringIO(raw.decode(), newline="")))


def test_write_csv_formats_cells():
    """Numbers as `repr` formats them, null and NaN as an empty cell, a scalar repeated for all rows."""
    columns = [
        ("float", np.array([0.1, 1e-7, 1e22])),
        ("float32", np.array([0.5, 1e-4, np.nan], dtype=np.float32)),
        ("int", np.array([1, -2, 3])),
        ("bool", np.array([True, False, True])),
        ("text", np.array(["a", 'say "b"', "c, d"], dtype=object)),
        ("mixed", [None, 1, "line\nbreak"]),
        ("nested", [{"a": [1]}, [], "x"]),
        ("all", 0.5),
    ]

    assert write_csv(columns, 3) == (
        b"float,float32,int,bool,text,mixed,nested,all\n"
        b'0.1,0.5,1,True,a,,"{""a"":[1]}",0.5\n'
        b'1e-07,9.999999747378752e-05,-2,False,"say ""b""",1,[],0.5\n'
        b'1e+22,,3,True,"c, d","line\nbreak",x,0.5\n'
    )


def test_write_csv_keeps_raw_json_digit_for_digit():
    raw = [b"1.50", b"-1e3", b'"a\\u00e9,"', b"null", b"true", b'{"a": 1}']
    columns = [("x", [msgspec.Raw(value) for value in raw]), ("all", 1)]

    assert write_csv(columns, 6).decode() == 'x,all\n1.50,1\n-1e3,1\n"aé,",1\n,1\ntrue,1\n"{""a"":1}",1\n'


def test_write_csv_without_rows_writes_the_header():
    assert b'a,"b,c"\n' == write_csv([("a", []), ("b,c", np.empty(0))], 0)


@pytest.mark.slow
@given(st.lists(st.lists(st.one_of(st.none(), TEXTS), min_size=1)))
@example([["a\rb", "c\r\nd\r\n"]])
def test_records_can_be_read_back(records):
    back = [[cell or "" for cell in record] for record in records]

    assert back == read_csv(format_records(records).encode())


@given(st.lists(st.one_of(st.none(), TEXTS), min_size=1), TEXTS)
def test_written_text_can_be_read_back(values, name):
    """An empty cell is null or empty text."""
    for columns in ([(name, values)], [(name, values), ("other", values)]):
        back = read_csv(write_csv(columns, len(values)))

        assert [[name for name, _ in columns], *([value or ""] * len(columns) for value in values)] == back


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.floats(-2e-4, 2e-4) | st.floats(1e15, 1e24),
        min_size=1,
    )
)
@example([0.0, -0.0, 1e-4, 9.999999999999999e-05, 1e15, 1e16, 9999999999999998.0, 5e-324])
@example([1e-5, -1.25e-5, 9.999999999999999e-06, -1e-10, 1e23, -1.5e17, 1.7976931348623157e308])
def test_written_numbers_can_be_read_back(values):
    """To the bit."""
    raw = write_csv([("x", np.array(values)), ("y", values)], len(values))

    assert [[repr(value)] * 2 for value in values] == read_csv(raw)[1:]
    assert values == pandas.read_csv(io.BytesIO(raw), converters={"x": float})["x"].tolist()


@pytest.mark.parametrize("prefix", ["=", "+", "-", "@", "\t", "\r"])
def test_write_csv_escapes_formulas(prefix):
    """OWASP, "CSV Injection": an apostrophe before text, never before a number."""
    columns = [
        (prefix, [f"{prefix}1", "1"]),
        ("number", np.array([-1.5, 2])),
        ("raw", [msgspec.Raw(b"-1")] * 2),
    ]
    plain, escaped = write_csv(columns, 2), write_csv(columns, 2, escape_formulas=True)

    assert [[prefix, "number", "raw"], [f"{prefix}1", "-1.5", "-1"], ["1", "2.0", "-1"]] == read_csv(plain)
    assert [[f"'{prefix}", "number", "raw"], [f"'{prefix}1", "-1.5", "-1"], ["1", "2.0", "-1"]] == read_csv(
        escaped
    )


@pytest.mark.slow
def test_write_csv_of_many_rows():
    """They are written in chunks."""
    count = 20_001
    raw = write_csv([("x", np.arange(count)), ("y", [str(index) for index in range(count)])], count)

    assert [["x", "y"], *([str(index)] * 2 for index in range(count))] == read_csv(raw)


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), TEXTS, st.integers())), min_size=1)
)
def test_written_passthrough_columns_can_be_read_back(rows):
    columns = read_passthrough_columns(msgspec.json.encode(rows), None)
    back = read_csv(write_csv([*columns.items(), ("last", 0)], len(rows)))

    expected = [["" if row.get(name) is None else str(row[name]) for name in columns] + ["0"] for row in rows]
    assert [[*columns, "last"], *expected] == back
