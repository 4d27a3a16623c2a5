"""The same rows as JSON, as CSV and as Python values; and any bytes at all as CSV."""

import csv
import io
import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelgate.errors import InvalidInput, RequestError
from modelgate.schema import CSV, Column, Policy, Schema, csv_numbers
from modelgate.schema.check import check
from modelgate.schema.csv_rows import records

NAMES = ["a", "b", "é", "x y", "a,b", 'q"', "line\nbreak", "f0"]
TEXTS = [
    "x",
    "y",
    " x",
    "1",
    "true",
    "nan",
    "a,b",
    '"',
    '""',
    "c\r\nd",
    "e\nf",
    "\u2028",
    "é",
    "\U0001f600",
    "'",
    "#",
]
NUMBERS = st.sampled_from(
    [0, 1, -1, 0.5, -0.0, 2.0, 1e22, 1e308, 5e-324, 2**53, 2**53 + 1, -(2**53), 10**400, 0.1, 1e-7]
) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = {
    "number": NUMBERS,
    "integer": st.sampled_from([0, 1, -3, 2.0, 2**53, 2**53 + 1, 0.5]) | st.integers(-9, 9),
    "boolean": st.booleans(),
    "text": st.sampled_from(TEXTS),
    "any": st.sampled_from(TEXTS) | st.booleans() | NUMBERS,
}
LEVELS = {
    "number": [0, 1, 0.5, -2.5],
    "integer": [-1, 0, 1, 2],
    "boolean": [True, False],
    "text": TEXTS,
    "any": ["x", 1, 0.5],
}


@st.composite
def columns(draw, name, kinds):
    """A column of any kind, with the rules its kind may have."""
    kind = draw(st.sampled_from(kinds))
    rules = {"required": draw(st.booleans()), "nullable": draw(st.booleans())}
    if draw(st.integers(0, 3)) == 0:
        rules["levels"] = tuple(draw(st.lists(st.sampled_from(LEVELS[kind]), min_size=1, unique=True)))
    elif kind in ("number", "integer"):
        rules["minimum"] = draw(st.sampled_from([None, None, -1, 0.5, -(2**52)]))
        rules["maximum"] = draw(st.sampled_from([None, None, 1, 2**52, 1.5]))
    elif kind == "text":
        rules["pattern"] = draw(st.sampled_from([None, None, "^[a-z]", "1|x"]))
        rules["max_length"] = draw(st.sampled_from([None, None, 1, 3]))
    column = Column(name, kind, **rules)
    default = draw(VALUES[kind] | st.none())
    return Column(name, kind, **rules, default=default if column.allows(default) else None)


@st.composite
def schemas(draw, kinds=tuple(LEVELS)):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    policy = Policy(
        extra=draw(st.sampled_from(["ignore", "ignore", "forbid"])),
        unknown_levels=draw(st.sampled_from(["refuse", "refuse", "warn", "accept"])),
        echo=draw(st.booleans()),
    )
    return Schema([draw(columns(name, kinds)) for name in names], policy)


def fitting(column):
    """What the column takes for the most part, and now and then what it may not."""
    values = VALUES[column.kind]
    if column.levels is not None:
        values = st.sampled_from(column.levels) | values
    allowed = values.filter(column.allows) if column.levels is not None else values
    nulls = [st.none()] * (4 if column.nullable else 0)
    return st.one_of(*[allowed] * 12, values, *nulls, st.none() if not column.nullable else values)


@st.composite
def rows(draw, schema):
    """Rows of one header: each has the same columns, in any order, perhaps with others beside."""
    sent = [c for c in schema if draw(st.integers(0, 15 if c.required else 2))]
    names = [column.name for column in sent]
    extra = ["other"] if not names or draw(st.integers(0, 3)) == 0 else []
    cells = st.fixed_dictionaries(
        {c.name: fitting(c) for c in sent} | dict.fromkeys(extra, st.sampled_from(TEXTS))
    )
    made = draw(st.lists(cells, min_size=1, max_size=5))
    order = draw(st.permutations(names + extra))
    return [{name: row[name] for name in order} for row in made]


def as_csv(rows, quoting=csv.QUOTE_MINIMAL, end="\n"):
    """*rows* as csv writes them, null as an empty cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, lineterminator=end)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            ["" if v is None else json.dumps(v) if isinstance(v, bool) else v for v in row.values()]
        )
    return out.getvalue().encode()


def outcome(read, *told):
    """What *read* makes of it, to the bit: the same table or the same report."""
    try:
        table = read(*told)
    except InvalidInput as error:
        missing = getattr(error, "missing_columns", None)
        return type(error), error.message, missing, error.errors, error.details
    except RequestError as error:
        return type(error), error.message
    texts = [[(type(value), value) for value in cells] for cells in table.texts]
    return list(table), table.numbers.shape, table.numbers.tobytes(), texts, list(table.warnings)


def slow(schema, raw):
    """The meaning of CSV: the csv module's records, checked cell by cell."""
    header, *rows = records(raw)
    rows = [dict(zip(header, row, strict=True)) for row in rows]
    return check(schema.columns, rows, schema.policy, text=True)


@pytest.fixture(params=[0, 1 << 40], ids=["block", "small"])
def way(request, monkeypatch):
    """By the block, and without."""
    monkeypatch.setattr(csv_numbers, "LARGE", request.param)
    return request.param


SETTINGS = settings(max_examples=300, suppress_health_check=list(HealthCheck))
NO_ANY = ("number", "integer", "boolean", "text")


@SETTINGS
@given(st.data())
def test_json_csv_and_python_values_agree(way, data):
    """One table or one report, of whichever format. An echo tells a value as it was sent, and is left out."""
    schema = data.draw(schemas(NO_ANY)).reading(echo=False)
    made = data.draw(rows(schema))
    sent = outcome(schema.read, made)

    assert sent == outcome(schema.read, json.dumps(made).encode())
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    assert sent == outcome(
        schema.read, CSV(as_csv(made, quoting, data.draw(st.sampled_from(["\n", "\r\n"]))))
    )


@SETTINGS
@given(st.data())
def test_json_is_what_check_makes_of_it(data):
    """The typed pass over JSON decides nothing by itself."""
    schema = data.draw(schemas())
    made = data.draw(rows(schema))

    decoded = json.loads(json.dumps(made))
    assert outcome(check, schema.columns, decoded, schema.policy) == outcome(
        schema.read, json.dumps(made).encode()
    )


@SETTINGS
@given(st.data())
def test_csv_is_what_its_cells_mean(way, data):
    """The fast way is a part of the slow one, for numbers written in any way and for parts of the body."""
    schema = data.draw(schemas())
    cells = st.text("0123456789+-.eE nafi_[],\r\n", max_size=6) | st.sampled_from(
        ["-0", "1e5", "TRUE", " 1", "5."]
    )
    made = data.draw(rows(schema))
    for row in made:
        for name in row:
            if data.draw(st.integers(0, 5)) == 0:
                row[name] = data.draw(cells)
    raw = as_csv(made)

    assert outcome(slow, schema, raw) == outcome(schema.read, CSV(raw))
    parts = outcome(lambda: list(schema.iter_csv(raw, 2))[-1])
    assert isinstance(parts[0], list) == isinstance(outcome(slow, schema, raw)[0], list)


NUMERIC = Schema([Column("a"), Column("b", "integer", nullable=True)])
MIXED = Schema([Column("a"), Column("b", "boolean", required=False), Column("t", "text", nullable=True)])
damage = st.binary(max_size=60) | st.text('ab,t\n\r"0123456789+-.eE truefals\ufeff\0', max_size=60).map(
    str.encode
)


@settings(SETTINGS, max_examples=800)
@given(
    damage,
    st.sampled_from([b"", b"a,b\n", b"a,b\n1,2\n", b"b,a,t\r\n", b'"a",b\n1,"2"\n', b"\xef\xbb\xbfa,b\n"]),
)
def test_any_bytes_are_a_table_or_a_request_error(way, raw, head):
    """Nothing else ever leaves, and every way leads to the same."""
    for schema in (NUMERIC, MIXED):
        fast = outcome(schema.read, CSV(head + raw))
        if fast[0] in (list, InvalidInput) and b"\0" not in raw:
            assert fast == outcome(slow, schema, head + raw)


@settings(SETTINGS, max_examples=300)
@given(
    st.lists(st.text("0123456789+-.eE \t_x", max_size=7), min_size=2, max_size=2),
    st.sampled_from(["polars", "pandas"]),
)
def test_the_readers_of_blocks_take_no_other_numbers(cells, reader):
    """What polars and pandas read by the block is what the slow way reads, to the bit."""
    raw = f"a,b\n{cells[0]},{cells[1]}\n1,2\n".encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_numbers, "LARGE", 0)
        patch.setitem(sys.modules, {"pandas": "polars", "polars": "pandas"}[reader], None)
        assert outcome(slow, NUMERIC, raw) == outcome(NUMERIC.read, CSV(raw))
