"""Reading rows: the fast way against the slow one, and any bytes at all."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelgate.errors import RequestError
from modelgate.schema import Column, Schema, Table

NAMES = ["a", "b", "c", "a:b", "\u00e9", "f0", "x" * 20]
TEXTS = ["", "x", "y", ":", "{", "[", '{"a":1}', "\u00e9", "\U0001f600", "1"]
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
        kind = draw(st.sampled_from(list(LEVELS)))
        levels = draw(LEVELS[kind]) if draw(st.integers(0, 4)) == 0 else None
        required, nullable = draw(st.booleans()), draw(st.booleans())
        columns.append(Column(name, kind, tuple(levels) if levels else None, required, nullable))
    return Schema(columns)


# Literals as JSON spells them: each is a fault for one kind of column or another.
literals = st.one_of(
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
}


def value(column):
    """What fits *column*, and now and then what may not."""
    fitting = (
        FITTING[column.kind] if column.levels is None else st.sampled_from(column.levels).map(json.dumps)
    )
    return st.one_of(*[fitting] * 9, literals)


@st.composite
def row(draw, schema):
    """A row as text: mostly what fits, in any order, with members left out, added, and doubled."""
    members = []
    for column in schema:
        if draw(st.integers(0, 15 if column.required else 2)) == 0:
            continue
        members.append((column.name, draw(value(column))))
    # In place of each that is left out, what nobody asked for or a second of a name: as many members as columns.
    for _ in range(len(schema) - len(members) if draw(st.booleans()) else draw(st.integers(0, 1))):
        column = draw(st.none() | st.sampled_from(schema.columns))
        members.append((column.name, draw(value(column))) if column else ("unknown", draw(literals)))
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    return (
        "{" + ",".join(f"{space}{json.dumps(n)}:{space}{v}" for n, v in draw(st.permutations(members))) + "}"
    )


@st.composite
def bodies(draw, schema):
    if draw(st.booleans()):
        return draw(row(schema)).encode()
    return ("[" + ",".join(draw(st.lists(row(schema), max_size=4))) + "]").encode()


def outcome(read, raw):
    """What *read* makes of *raw*, so that two can be compared."""
    try:
        table = read(raw)
    except RequestError as error:
        return type(error), error.message, error.details
    return list(table), table.numbers.tobytes(), table.numbers.shape, [list(texts) for texts in table.texts]


@settings(max_examples=1500)
@given(st.data())
def test_the_fast_way_and_the_slow_one_agree(data):
    """What reading makes of JSON is what checking it cell by cell makes: the same table or the same error."""
    schema = data.draw(schemas())
    raw = data.draw(bodies(schema))

    slow = Schema(schema.columns, schema.policy)
    slow._decoder._typed = False

    assert outcome(slow.read, raw) == outcome(schema.read, raw)


@settings(max_examples=200)
@given(st.data())
def test_json_and_python_values_agree(data):
    """Rows sent and rows given are the same table, or the same faults."""
    schema = data.draw(schemas())
    raw = data.draw(bodies(schema))
    sent = outcome(schema.read, raw)
    assume(isinstance(sent[0], list) or "errors" in sent[2] or "missing_columns" in sent[2])

    rows = json.loads(raw)
    assert sent == outcome(schema.read, rows if isinstance(rows, list) else [rows])


@settings(max_examples=200)
@given(st.data())
def test_a_table_has_the_schemas_columns_order_and_dtypes(data):
    """Whatever is read fits the schema: kinds, levels and nulls."""
    schema = data.draw(schemas())
    try:
        table = schema.read(data.draw(bodies(schema)))
    except RequestError:
        assume(False)

    assert list(schema.names) == list(table)
    for found in table.rows():
        for column in schema:
            value = found[column.name]
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
def test_any_bytes_give_a_table_or_a_request_error(raw):
    """Nothing else ever leaves."""
    assert isinstance(outcome(FIXED.read, raw), tuple)


@settings(max_examples=500)
@given(st.integers(0, len(VALID)), st.integers(0, 5), st.binary(max_size=4), st.integers(1, 400))
def test_a_damaged_body_gives_a_table_or_a_request_error(at, cut, put, times):
    """A valid body with bytes cut out of it and others put in."""
    raw = VALID[:at] + put * times + VALID[at + cut :]
    assert isinstance(outcome(FIXED.read, raw), tuple)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "t", "i"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(VALUES)
def test_any_python_values_give_a_table_or_a_request_error(value):
    """Rows, columns, or neither."""
    assert isinstance(outcome(FIXED.read, value), tuple)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 3)])
def test_tables_of_arrays_keep_every_bit(shape):
    """An array read by position comes out as it went in."""
    values = np.random.default_rng(0).normal(size=shape)
    table = Schema([Column(f"c{at}") for at in range(3)]).read(values)

    assert isinstance(table, Table)
    assert values.tobytes() == table.to_array().tobytes()
