"""Equivalence of JSON, CSV and Python values, and arbitrary bytes as CSV."""

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from modelgate.codecs import csv_blocks
from modelgate.errors import InvalidInput, RequestError
from modelgate.schema import CSV, Column, Schema, SchemaOptions, Table
from modelgate.schema.csv_decoder import iter_records
from modelgate.schema.row_validator import validate_rows

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
    "datetime": st.sampled_from(
        ["2024-01-06", "2024-01-06T10:00:00.1234567Z", "1900-01-01 10:00+01:00", "1492-10-12", "2024-13-01"]
    ),
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
    """Columns of any kind, with rules that apply to it."""
    kind = draw(st.sampled_from(kinds))
    rules = {"required": draw(st.booleans()), "nullable": draw(st.booleans())}
    if kind == "datetime":
        rules["timezone"] = draw(st.sampled_from([None, "America/St_Johns"]))
        rules["resolution"] = draw(st.sampled_from([None, "s", "ns"]))
    elif draw(st.integers(0, 3)) == 0:
        rules["levels"] = tuple(draw(st.lists(st.sampled_from(LEVELS[kind]), min_size=1, unique=True)))
    elif kind in ("number", "integer"):
        rules["minimum"] = draw(st.sampled_from([None, None, -1, 0.5, -(2**52)]))
        rules["maximum"] = draw(st.sampled_from([None, None, 1, 2**52, 1.5]))
    elif kind == "text":
        rules["pattern"] = draw(st.sampled_from([None, None, "^[a-z]", "1|x"]))
        rules["max_length"] = draw(st.sampled_from([None, None, 1, 3]))
    column = Column(name, kind, **rules)
    if kind in ("number", "integer"):
        rules["accepts_booleans"] = draw(st.booleans())
    default = draw(VALUES[kind] | st.none())
    return Column(name, kind, **rules, default=default if column.allows(default) else None)


@st.composite
def schemas(draw, kinds=tuple(VALUES)):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    options = SchemaOptions(
        extra_columns=draw(st.sampled_from(["ignore", "ignore", "forbid"])),
        unknown_levels=draw(st.sampled_from(["reject", "reject", "warn", "accept"])),
        echo_values=draw(st.booleans()),
        na_values=draw(st.sampled_from([("NA", "NaN", "null", "NULL"), ("?",), ()])),
    )
    return Schema([draw(columns(name, kinds)) for name in names], options)


def values_for(column):
    """Values that mostly fit *column*."""
    values = VALUES[column.kind]
    if column.accepts_booleans:
        values = values | st.booleans()
    if column.levels is not None:
        values = st.sampled_from(column.levels) | values
    allowed = values.filter(column.allows) if column.levels is not None else values
    nulls = [st.none()] * (4 if column.nullable else 0)
    return st.one_of(*[allowed] * 12, values, *nulls, st.none() if not column.nullable else values)


@st.composite
def row_lists(draw, schema):
    """Rows with the same columns in any order, sometimes with an extra one."""
    sent = [c for c in schema if draw(st.integers(0, 15 if c.required else 2))]
    names = [column.name for column in sent]
    extra = ["other"] if not names or draw(st.integers(0, 3)) == 0 else []
    cells = st.fixed_dictionaries(
        {c.name: values_for(c) for c in sent} | dict.fromkeys(extra, st.sampled_from(TEXTS))
    )
    sample = draw(st.lists(cells, min_size=1, max_size=5))
    order = draw(st.permutations(names + extra))
    return [{name: row[name] for name in order} for row in sample]


def write_rows(rows, quoting=csv.QUOTE_MINIMAL, end="\n"):
    """Write *rows* as CSV. Null is an empty cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, lineterminator=end)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            ["" if v is None else json.dumps(v) if isinstance(v, bool) else v for v in row.values()]
        )
    return out.getvalue().encode()


def read_outcome(read, *args):
    """Return a bitwise comparable result of *read*: the content of the table, or the report."""
    try:
        table = read(*args)
    except InvalidInput as error:
        missing = getattr(error, "missing_columns", None)
        return type(error), error.message, missing, error.errors, error.details
    except RequestError as error:
        return type(error), error.message
    texts = [[(type(value), value) for value in cells] for cells in table.texts]
    return list(table), table.numbers.shape, table.numbers.tobytes(), texts, list(table.warnings)


def read_by_reference(schema, raw):
    """Read CSV without fast paths: the csv module for rows, `validate_rows` for cells."""
    # Empty lines at the end are ignored. Before Python 3.13, the csv module writes the cell "\r" without quotes.
    header, *rows = iter_records(CSV(raw.rstrip(b"\r\n")))
    rows = [dict(zip(header, row, strict=True)) for row in rows]
    return validate_rows(schema.columns, rows, schema.options, text=True)


@pytest.fixture(params=[0, 1 << 40], ids=["block", "small"])
def parser(request, monkeypatch):
    """Parse numbers in blocks, or cell by cell."""
    monkeypatch.setattr(csv_blocks, "LARGE", request.param)
    return request.param


SETTINGS = settings(max_examples=150, suppress_health_check=list(HealthCheck))
NO_ANY = ("number", "integer", "boolean", "text", "datetime")


@SETTINGS
@given(st.data())
def test_json_csv_and_python_values_agree(parser, data):
    """Without echo_values, as values are echoed in the spelling of the format."""
    schema = data.draw(schemas(NO_ANY)).with_options(echo_values=False)
    sample = data.draw(row_lists(schema))
    sent = read_outcome(schema.read, sample)

    assert sent == read_outcome(schema.read, json.dumps(sample).encode())
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    assert sent == read_outcome(
        schema.read, CSV(write_rows(sample, quoting, data.draw(st.sampled_from(["\n", "\r\n"]))))
    )


@SETTINGS
@given(st.data())
def test_json_decoder_agrees_with_row_validation(data):
    schema = data.draw(schemas())
    sample = data.draw(row_lists(schema))

    decoded = json.loads(json.dumps(sample))
    assert read_outcome(validate_rows, schema.columns, decoded, schema.options) == read_outcome(
        schema.read, json.dumps(sample).encode()
    )


@SETTINGS
@given(st.data())
def test_csv_decoder_agrees_with_row_validation(parser, data):
    """With numbers in any spelling, and for several tables."""
    schema = data.draw(schemas())
    cells = st.text("0123456789+-.eE nafi_[],\r\n", max_size=6) | st.sampled_from(
        ["-0", "1e5", "TRUE", " 1", "5.", "NA", "NaN", "null", "NULL", "?", " NA"]
    )
    sample = data.draw(row_lists(schema))
    for row in sample:
        for name in row:
            if data.draw(st.integers(0, 5)) == 0:
                row[name] = data.draw(cells)
    raw = write_rows(sample)

    assert read_outcome(read_by_reference, schema, raw) == read_outcome(schema.read, CSV(raw))
    parts = read_outcome(lambda: list(schema.iter_csv(raw, 2))[-1])
    assert isinstance(parts[0], list) == isinstance(read_outcome(read_by_reference, schema, raw)[0], list)


@SETTINGS
@given(st.data())
def test_csv_without_a_header_agrees_with_csv_that_has_one(parser, data):
    schema = data.draw(schemas())
    sample = data.draw(row_lists(schema))
    assume(set(sample[0]) == set(schema.names))
    raw = write_rows([{name: row[name] for name in schema.names} for row in sample])
    header = write_rows([dict.fromkeys(schema.names, 1)]).removesuffix(
        b",".join([b"1"] * len(schema)) + b"\n"
    )
    assert raw.startswith(header)

    without = schema.with_options(csv_header=False)
    assert read_outcome(schema.read, CSV(raw)) == read_outcome(without.read, CSV(raw.removeprefix(header)))


NUMERIC = Schema([Column("a"), Column("b", "integer", nullable=True)])
MIXED = Schema([Column("a"), Column("b", "boolean", required=False), Column("t", "text", nullable=True)])
DAMAGED_BODIES = st.binary(max_size=60) | st.text(
    'ab,t\n\r"0123456789+-.eE truefals\ufeff\0', max_size=60
).map(str.encode)


@settings(SETTINGS, max_examples=400)
@given(
    DAMAGED_BODIES,
    st.sampled_from([b"", b"a,b\n", b"a,b\n1,2\n", b"b,a,t\r\n", b'"a",b\n1,"2"\n', b"\xef\xbb\xbfa,b\n"]),
)
def test_arbitrary_csv_gives_a_table_or_a_request_error(parser, raw, head):
    """The same with every parser."""
    for schema in (NUMERIC, MIXED):
        fast = read_outcome(schema.read, CSV(head + raw))
        if fast[0] in (list, InvalidInput) and b"\0" not in raw:
            assert fast == read_outcome(read_by_reference, schema, head + raw)


SPELLINGS = st.text("0123456789+-.eE \t\v\f_xnaif", max_size=7) | st.sampled_from(
    ["true", "FALSE", " true", "inf", "-Infinity", "nan", "\ufeff1", "1e000005", "1e-999999", "-0"]
)
WITH_TEXT = Schema([*NUMERIC.columns, Column("t", "text", nullable=True)])


@settings(SETTINGS, max_examples=300)
@given(
    st.lists(SPELLINGS, min_size=2, max_size=2),
    st.sampled_from([b"", b"1,2,x\n", b"1,,\n"]),
    st.sampled_from([b"", b"1,2,y\n"]),
    st.sampled_from([NUMERIC, WITH_TEXT]),
)
def test_fast_parsers_accept_the_same_numbers(parser, cells, before, after, schema):
    """To the bit."""
    line = f"{cells[0]},{cells[1]},z\n".encode()
    raw = b"a,b,t\n" + before + line + after
    expected = read_outcome(read_by_reference, schema, raw)

    assert expected == read_outcome(schema.read, CSV(raw))
    assert expected == read_outcome(lambda: Table.join(schema.columns, schema.iter_csv(raw, 1)))
