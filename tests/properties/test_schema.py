"""Validation of rows: the typed decoder against row validation, and arbitrary bytes."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelgate.errors import RequestError
from modelgate.schema import Column, Schema, Table

NAMES = ["a", "b", "c", "a:b", "\u00e9", "f0", "x" * 20]
TEXTS = ["", "x", "y", ":", "{", "[", '{"a":1}', "\u00e9", "\U0001f600", "1"]
ZONES = st.sampled_from([None, "Europe/Berlin", "UTC-03:30"])
RESOLUTIONS = st.sampled_from([None, "s", "ms", "us", "ns"])
DATETIMES = st.sampled_from(
    [
        "2024-01-06",
        "2024-03-31 02:30",
        "2024-01-06T10:00:00.123456789",
        "2024-01-06T10:00:00Z",
        "2024-10-27T02:30:00.5+01:00",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59Z",
        "2024-02-30",
    ]
)
LEVELS = {
    "text": st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4, unique=True),
    "integer": st.lists(st.integers(-3, 3), min_size=1, max_size=4, unique=True),
    "number": st.lists(st.sampled_from([0, 1, 0.5, -2.5]), min_size=1, max_size=3, unique=True),
    "boolean": st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
}


@st.composite
def schemas(draw):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    columns = []
    for name in names:
        kind = draw(st.sampled_from(list(FITTING)))
        levels = draw(LEVELS[kind]) if kind in LEVELS and draw(st.integers(0, 4)) == 0 else None
        required, nullable = draw(st.booleans()), draw(st.booleans())
        booleans = kind in ("number", "integer") and draw(st.booleans())
        levels = tuple(levels) if levels else None
        options = {"accepts_booleans": booleans}
        if kind == "datetime":
            options = {"timezone": draw(ZONES), "resolution": draw(RESOLUTIONS)}
        columns.append(Column(name, kind, levels, required, nullable, **options))
    return Schema(columns)


# JSON literals. Each is invalid for at least one kind of column.
LITERALS = st.one_of(
    st.sampled_from(TEXTS).map(json.dumps),
    st.integers(-3, 3).map(str),
    st.sampled_from(
        ["null", "true", "false", "1.0", "2.5", "-0.0", "1e2", "0.5", "1e400", "1E-400", '"\\u0061"']
    ),
    st.sampled_from([str(2**53), str(2**53 + 1), f"{2**53 + 1}.0", str(2**64), "1" * 400, "1e16", "-1e308"]),
    st.sampled_from(
        ["[]", "{}", "[1]", '{"a":1}', '{"a":1,"a":2}', "[" * 40 + "]" * 40, '"\\ud800"', "01", "NaN"]
    ),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
FITTING = {
    "text": st.sampled_from(TEXTS).map(json.dumps),
    "integer": st.sampled_from(["0", "1", "-3", "2.0", "1e1"]),
    "number": st.sampled_from(["0", "1", "0.5", "-2.5", "1e300", "-0.0"]),
    "boolean": st.sampled_from(["true", "false"]),
    "datetime": DATETIMES.map(json.dumps),
}


def values_for(column):
    """Values that mostly fit *column*."""
    fitting = (
        FITTING[column.kind] if column.levels is None else st.sampled_from(column.levels).map(json.dumps)
    )
    return st.one_of(*[fitting] * 9, LITERALS)


@st.composite
def row_texts(draw, schema):
    """JSON text of rows that mostly fit, in any order, with missing, extra and duplicate members."""
    members = []
    for column in schema:
        if draw(st.integers(0, 15 if column.required else 2)) == 0:
            continue
        members.append((column.name, draw(values_for(column))))
    # Replace missing members by extra or duplicate ones, so that there may be as many members as columns.
    for _ in range(len(schema) - len(members) if draw(st.booleans()) else draw(st.integers(0, 1))):
        column = draw(st.none() | st.sampled_from(schema.columns))
        members.append((column.name, draw(values_for(column))) if column else ("unknown", draw(LITERALS)))
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    return (
        "{" + ",".join(f"{space}{json.dumps(n)}:{space}{v}" for n, v in draw(st.permutations(members))) + "}"
    )


@st.composite
def bodies(draw, schema):
    if draw(st.booleans()):
        return draw(row_texts(schema)).encode()
    return ("[" + ",".join(draw(st.lists(row_texts(schema), max_size=4))) + "]").encode()


def read_outcome(read, raw):
    """Return a comparable result of *read*: the content of the table, or the error."""
    try:
        table = read(raw)
    except RequestError as error:
        return type(error), error.message, error.details
    return list(table), table.numbers.tobytes(), table.numbers.shape, [list(texts) for texts in table.texts]


@settings(max_examples=700)
@given(st.data())
def test_typed_decoder_agrees_with_row_validation(data):
    """The same table or the same error."""
    schema = data.draw(schemas())
    raw = data.draw(bodies(schema))

    untyped = Schema(schema.columns, schema.options)
    untyped._decoder._typed = False

    assert read_outcome(untyped.read, raw) == read_outcome(schema.read, raw)


@settings(max_examples=200)
@given(st.data())
def test_json_agrees_with_python_values(data):
    """The same table or the same errors."""
    schema = data.draw(schemas())
    raw = data.draw(bodies(schema))
    sent = read_outcome(schema.read, raw)
    assume(isinstance(sent[0], list) or "errors" in sent[2] or "missing_columns" in sent[2])

    rows = json.loads(raw)
    assert sent == read_outcome(schema.read, rows if isinstance(rows, list) else [rows])


@settings(max_examples=200)
@given(st.data())
def test_table_matches_the_schema(data):
    schema = data.draw(schemas())
    try:
        table = schema.read(data.draw(bodies(schema)))
    except RequestError:
        assume(False)

    assert list(schema.names) == list(table)
    for row in table.rows():
        for column in schema:
            value = row[column.name]
            if value is not None:
                assert column.allows(value)
            else:
                assert column.nullable or not column.required


FIXED = Schema.of(a=float, t=["x", "y"], i=Column("i", "integer", nullable=True))
VALID = b'[{"a":1.5,"t":"x","i":null},{"a":-2,"t":"y","i":3}]'


@settings(max_examples=500)
@given(
    st.binary(max_size=60)
    | st.text(alphabet='{}[]":,\\atix 0123456789eE.-+nulrfs', max_size=60).map(str.encode)
)
def test_arbitrary_bytes_give_a_table_or_a_request_error(raw):
    assert isinstance(read_outcome(FIXED.read, raw), tuple)


@settings(max_examples=500)
@given(st.integers(0, len(VALID)), st.integers(0, 5), st.binary(max_size=4), st.integers(1, 400))
def test_damaged_body_gives_a_table_or_a_request_error(index, removed, inserted, times):
    """A valid body with bytes removed and others inserted."""
    raw = VALID[:index] + inserted * times + VALID[index + removed :]
    assert isinstance(read_outcome(FIXED.read, raw), tuple)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "t", "i"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(VALUES)
def test_arbitrary_python_values_give_a_table_or_a_request_error(value):
    assert isinstance(read_outcome(FIXED.read, value), tuple)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 3)])
def test_array_is_restored_exactly(shape):
    values = np.random.default_rng(0).normal(size=shape)
    table = Schema([Column(f"c{index}") for index in range(3)]).read(values)

    assert isinstance(table, Table)
    assert values.tobytes() == table.to_array().tobytes()
