"""JSON writing by columns: the same bytes as encoding the rows one by one."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.codecs.json_writer import Constant, encode_rows

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(["%", "%s", '"%(a)s'])
RAW = st.sampled_from([b"1.50", b'"a\\u00e9,%"', b' {"a" : [1, 2]}', b'"\xff"']).map(msgspec.Raw)
PLAIN = [st.floats(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), TEXTS]
VALUES = st.one_of(
    *PLAIN, RAW, st.lists(st.one_of(PLAIN), max_size=2), st.dictionaries(TEXTS, TEXTS, max_size=2)
)


@st.composite
def trees(draw, rows):
    """Columns of *rows* rows."""

    def column(values):
        return st.lists(values, min_size=rows, max_size=rows)

    arrays = [column(st.floats()), column(st.integers(-(2**63), 2**63 - 1)), column(st.booleans())]
    leaves = [
        *map(column, [*PLAIN, VALUES]),
        *[values.map(np.array) for values in arrays],
        column(TEXTS).map(lambda texts: np.array(texts, dtype=object)),
        VALUES.map(Constant),
    ]
    return draw(
        st.recursive(
            st.one_of(leaves),
            lambda inner: st.dictionaries(TEXTS, inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
            max_leaves=8,
        )
    )


def row_of(columns, index):
    """The value of the row *index*."""
    if isinstance(columns, Constant):
        return columns.value
    if isinstance(columns, dict):
        return {name: row_of(column, index) for name, column in columns.items()}
    if isinstance(columns, tuple):
        return [row_of(column, index) for column in columns]
    return columns.tolist()[index] if isinstance(columns, np.ndarray) else columns[index]


@pytest.mark.slow
@given(st.data(), st.integers(1, 5), st.sampled_from([b",", b"\n"]))
def test_encode_rows_returns_the_bytes_of_each_row(data, rows, separator):
    columns = {"id": range(rows), "tree": data.draw(trees(rows))}

    expected = [msgspec.json.encode(row_of(columns, index)) for index in range(rows)]
    assert separator.join(expected) == encode_rows(columns, separator)


def test_encode_rows_follows_the_structure_of_the_columns():
    columns = {"a": np.array([0.5, np.nan]), "b": ({"c": ["x", "é"], "d": Constant("%")}, Constant(None))}

    expected = '{"a":0.5,"b":[{"c":"x","d":"%"},null]}\n{"a":null,"b":[{"c":"é","d":"%"},null]}'
    assert expected == encode_rows(columns, b"\n").decode()


def test_encode_rows_without_rows_is_empty():
    assert b"" == encode_rows({"a": np.empty(0), "b": []})


def test_encode_rows_rejects_lone_surrogates():
    with pytest.raises(UnicodeEncodeError):
        encode_rows({"a": ["\ud800"]})
