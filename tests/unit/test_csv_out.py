"""CSV written: any reader has the same cells back."""

import csv
import io

import msgspec
import numpy as np
import pandas
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelgate.schema import csv_of, kept_columns

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def read(raw):
    return list(csv.reader(io.StringIO(raw.decode(), newline="")))


def test_columns_and_their_cells():
    """Numbers as `repr` has them, null as nothing, quotes where they are needed, one value for all rows."""
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

    assert csv_of(columns, 3) == (
        b"float,float32,int,bool,text,mixed,nested,all\n"
        b'0.1,0.5,1,True,a,,"{""a"":[1]}",0.5\n'
        b'1e-07,9.999999747378752e-05,-2,False,"say ""b""",1,[],0.5\n'
        b'1e+22,nan,3,True,"c, d","line\nbreak",x,0.5\n'
    )


def test_raw_json():
    """A number stays digit for digit what it was; text is its text."""
    raw = [b"1.50", b"-1e3", b'"a\\u00e9,"', b"null", b"true", b'{"a": 1}']
    columns = [("x", [msgspec.Raw(value) for value in raw]), ("all", 1)]

    assert csv_of(columns, 6).decode() == 'x,all\n1.50,1\n-1e3,1\n"aé,",1\n,1\ntrue,1\n"{""a"":1}",1\n'


def test_no_rows():
    """The header stands alone."""

    assert b'a,"b,c"\n' == csv_of([("a", []), ("b,c", np.empty(0))], 0)


@given(st.lists(st.one_of(st.none(), TEXTS), min_size=1), TEXTS)
def test_text_comes_back(values, name):
    """The law; an empty cell is null or empty text."""
    for columns in ([(name, values)], [(name, values), ("other", values)]):
        back = read(csv_of(columns, len(values)))

        assert [[name for name, _ in columns], *([value or ""] * len(columns) for value in values)] == back


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
@example([0.0, -0.0, 1e-4, 9.999999999999999e-05, 1e15, 1e16, 9999999999999998.0, 5e-324])
def test_numbers_come_back(values):
    """To the bit."""
    raw = csv_of([("x", np.array(values)), ("y", values)], len(values))

    assert [[repr(value)] * 2 for value in values] == read(raw)[1:]
    assert values == pandas.read_csv(io.BytesIO(raw), converters={"x": float})["x"].tolist()


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas(begin):
    """OWASP, "CSV Injection": the option puts an apostrophe before text, and never before a number."""
    columns = [
        (begin, [f"{begin}1", "1"]),
        ("number", np.array([-1.5, 2])),
        ("raw", [msgspec.Raw(b"-1")] * 2),
    ]
    plain, escaped = csv_of(columns, 2), csv_of(columns, 2, escape_formulas=True)

    assert [[begin, "number", "raw"], [f"{begin}1", "-1.5", "-1"], ["1", "2.0", "-1"]] == read(plain)
    assert [[f"'{begin}", "number", "raw"], [f"'{begin}1", "-1.5", "-1"], ["1", "2.0", "-1"]] == read(escaped)


def test_many_rows():
    """They are written in parts, which come together as one."""
    count = 20_001
    raw = csv_of([("x", np.arange(count)), ("y", [str(at) for at in range(count)])], count)

    assert [["x", "y"], *([str(at)] * 2 for at in range(count))] == read(raw)


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), TEXTS, st.integers())), min_size=1)
)
def test_kept_columns_come_back(rows):
    """What a caller sent in JSON is what it has back in CSV."""
    kept = kept_columns(msgspec.json.encode(rows), None)
    back = read(csv_of([*kept.items(), ("last", 0)], len(rows)))

    expected = [["" if row.get(name) is None else str(row[name]) for name in kept] + ["0"] for row in rows]
    assert [[*kept, "last"], *expected] == back
