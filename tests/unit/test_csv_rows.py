"""CSV: what it is, what its cells mean, and the ways of reading it that must not differ."""

import csv
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pandas
import polars
import pytest

from modelgate.errors import InvalidInput, InvalidValues, MalformedBody, MissingColumns, RequestError
from modelgate.schema import CSV, Column, Schema, Table, csv_fast, csv_numbers, csv_rows
from modelgate.schema.check import check
from modelgate.schema.csv_rows import records

MIXED = Schema.of(
    age=float,
    plan=["free", "pro"],
    visits=Column("visits", "integer", nullable=True),
    active=bool,
    note=Column("note", "text", nullable=True),
)
HEAD = "age,plan,visits,active,note\n"
TWO = Schema.of(a=float, b=Column("b", "number", nullable=True))


def outcome(read, raw):
    """What *read* makes of *raw*, to the bit."""
    try:
        table = read(raw)
    except RequestError as error:
        return type(error), error.message, error.details
    return list(table), table.numbers.shape, table.numbers.tobytes(), table.texts, list(table.warnings)


def slow(schema):
    """The meaning: every record by the csv module, every cell by `check`."""

    def read(raw):
        header, *rows = records(raw)
        rows = [dict(zip(header, row, strict=True)) for row in rows]
        return check(schema.columns, rows, schema.policy, text=True)

    return read


@pytest.fixture(params=["both", "polars", "pandas", "neither", "small"])
def way(request, monkeypatch):
    """Each way of reading numbers by the block, and none."""
    monkeypatch.setattr(csv_numbers, "LARGE", 1 << 40 if request.param == "small" else 0)
    missing = {"polars": ["pandas"], "pandas": ["polars"], "neither": ["polars", "pandas"]}
    for name in missing.get(request.param, []):
        monkeypatch.setitem(sys.modules, name, None)
    return request.param


# What is read


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("1.5,pro,3,true,x", [1.5, "pro", 3, True, "x"]),
        ("-0.5e-3,free,,FALSE,", [-0.0005, "free", None, False, None]),
        ("+1,pro,2.0,True,nan", [1.0, "pro", 2, True, "nan"]),
        (" .5\t,pro, 7 , tRuE , x ", [0.5, "pro", 7, True, " x "]),
        ('"1.","pro","1e2","false","a ""b"", c\r\nd"', [1.0, "pro", 100, False, 'a "b", c\r\nd']),
        (
            '9007199254740993,pro,-9007199254740992,true,é"\u2028',
            [2.0**53, "pro", -(2**53), True, 'é"\u2028'],
        ),
        ("1e308,pro,-0,true,#", [1e308, "pro", 0, True, "#"]),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"], ids=repr)
def test_a_line_is_a_row(way, line, row, end):
    """Empty is null, quotes do not count, white space only in texts."""
    table = MIXED.read(CSV((HEAD + line + end).encode()))

    assert [dict(zip(MIXED.names, row, strict=True))] == table.rows()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=repr)
@pytest.mark.parametrize("header", [b"b,x,a", b'"b","x","a"', b'b,"x\ny",a'], ids=repr)
def test_columns_stand_in_any_order_beside_others(way, mark, end, header):
    """A byte order mark, any end of line, and quotes around names."""
    raw = mark + end.join([header, b"1,2,3.5", b",text,-4"]) + end

    assert [{"a": 3.5, "b": 1.0}, {"a": -4.0, "b": None}] == TWO.read(CSV(raw)).rows()


def test_a_header_alone_is_an_empty_table(way):
    """No rows, every column."""
    for raw in (b"a,b", b"b,a\n", b"\xef\xbb\xbfa,b\r\n", b'"a","b"'):
        table = TWO.read(CSV(raw))
        assert (0, 2) == table.numbers.shape
        assert 1 == len(list(TWO.iter_csv(raw)))


def test_a_header_alone_that_is_none_is_no_empty_table():
    """A body whose only line is a row would be answered with no predictions otherwise."""
    with pytest.raises(MissingColumns) as info:
        TWO.read(CSV(b"1.5,2.5"))
    assert ["a", "b"] == info.value.missing_columns
    with pytest.raises(MissingColumns) as info:
        TWO.read(CSV(b"A,b"))
    assert ["a"] == info.value.missing_columns
    with pytest.raises(InvalidValues, match="x is not expected"):
        TWO.reading(extra="forbid").read(CSV(b"a,b,x\n"))


def test_an_optional_column_may_be_left_out(way):
    """It is its default, or null."""
    schema = Schema(
        [
            Column("a", required=False),
            Column("b", "integer"),
            Column("c", default=2.5),
            Column("t", "text", default="x"),
            Column("n", "any", required=False),
        ]
    )

    row = {"a": None, "b": 7, "c": 2.5, "t": "x", "n": None}
    assert [row] == schema.read(CSV(b"b\n7\n")).rows()
    assert [{**row, "n": 1.5, "a": 1.0}] == schema.read(CSV(b"n,b,a\n1.5,7,1\n")).rows()
    assert [{"a": None, "c": 2.5}] * 2 == Schema(
        [Column("a", required=False), Column("c", default=2.5)]
    ).read(CSV(b"x\n1\n2\n")).rows()


NUMERIC = np.random.default_rng(0).normal(size=(500, 4)) * 10.0 ** np.arange(-150, 250, 100)
FRAME = pandas.DataFrame(NUMERIC, columns=list("abcd"))


@pytest.mark.parametrize(
    "text", [FRAME.to_csv(index=False), FRAME.to_csv(), polars.DataFrame(FRAME).write_csv()], ids=range(3)
)
def test_a_frame_written_as_csv_comes_back(way, text):
    """What pandas and polars write is read to the last bit."""
    schema = Schema.of(a=float, b=float, c=float, d=float)

    assert NUMERIC.tobytes() == schema.read(CSV(text.encode())).numbers.tobytes()


def test_an_unknown_level_passes_where_it_may(way):
    """With the warning JSON brings, once."""
    schema = MIXED.reading(unknown_levels="warn")
    table = schema.read(CSV((HEAD + "1,gold,,true,\n" + "2,pro,,true,\n" * 20_000).encode()))

    assert ("plan has values the model was not trained with",) == table.warnings
    assert (20_001, "gold") == (len(table), table["plan"][0])


# What is refused as no CSV


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "no header"),
        (b"\xef\xbb\xbf", "no header"),
        (b"\n1,2", "no header"),
        (b"a,b,a\n1,2,3", "Line 1 .*'a' twice"),
        (b"a,b,,\n1,2,3,4", "Line 1 .*'' twice"),
        (b"a,b\n1,2\n3\n", "Line 3 .*has 1 cells, and the header 2"),
        (b"a,b\n1,2\n3,4,5\n", "Line 3 .*has 3 cells, and the header 2"),
        (b"a,b\n1,2,3\n4\n", "Line 2 .*has 3 cells"),
        (b"a,b\n1\n4,5,6\n", "Line 2 .*has 1 cells"),
        (b"a,b\r\n1,2\r\n\r\n3,4", "Line 3 .*has 0 cells"),
        (b"a,b\n\n1,2\n", "Line 2 .*has 0 cells"),
        (b"a,b\r1,2\r3\r", "Line 3 .*has 1 cells"),
        (b'a,b\n1,"2\n\n"\n3\n', "Line 5 .*has 1 cells"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "Line 3 .*quote that opens"),
        (b'a,"b\n1,2\n', "Line 1 .*quote that opens"),
        (b'a,b\n1,2\n3,"4"5\n', "Line 3 .*expected after"),
        (b"a,b\n1,2\n3,\0\n", "Line 3 .*NUL"),
        (b"a,b\n1,2\r\n3,\xff\n", r"Line 3 .*not UTF-8 \(byte 11\)"),
        (b"a,b\n1,2\n\xc3", r"Line 3 .*not UTF-8 \(byte 8\)"),
        (b"a,\xe9\n1,2\n", r"Line 1 .*not UTF-8 \(byte 2\)"),
        (b"a,b\n" + "é".encode() * 600_001 + b"\xff,1", r"Line 2 .*not UTF-8 \(byte 1200006\)"),
        ("a,b\n1,2".encode("utf-16"), "UTF-16: send UTF-8"),
        (b"\xfe\xff" + "a,b\n1,2".encode("utf-16-be"), "UTF-16: send UTF-8"),
        (b"a,b\n1,2\n3," + b"1" * 131_073 + b"\n", "Line 3 .*longer than 131072"),
        (b"a,b\n1,2\n3,0." + b"1" * 200_000 + b"\n1,2\n", "Line 3 .*longer than 131072"),
        (b"a;b\n1;2\n", "separator .*is a semicolon: send a comma"),
        (b"a\tb\n1\t2\n", "separator .*is a tab: send a comma"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_csv_is_told_with_its_line(way, raw, told):
    """Lines are counted from 1, the header's; a row's is where it begins."""
    with pytest.raises(MalformedBody, match=told):
        TWO.read(CSV(raw))


@pytest.mark.parametrize("text", ["a,b\n1\n", 'a,b\n"1\n'])
def test_a_fault_far_down_is_told_with_its_line(way, text):
    """However many tables came before."""
    head, fault = text.split("\n", 1)
    raw = (head + "\n" + "1,2\n" * 20_000 + fault).encode()
    with pytest.raises(MalformedBody, match="Line 20002 "):
        TWO.read(CSV(raw))
    tables = TWO.iter_csv(raw, 5000)
    assert [5000] * 4 == [len(next(tables)) for _ in range(4)]
    with pytest.raises(MalformedBody, match="Line 20002 "):
        next(tables)


def test_a_semicolon_in_a_name_is_no_separator():
    """Where the schema has it, and where there are other columns."""
    assert [{"a;b": 1.0}] == Schema([Column("a;b")]).read(CSV(b"a;b\n1\n")).rows()
    assert [{"a": 1.0}] == Schema.of(a=float).read(CSV(b"a,b;c\n1,2\n")).rows()


# What is refused as no value

NO_NUMBERS = [
    *[
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "null",
        "None",
        "NA",
        "1_000",
        "١",
        "1,5",
        "0x1",
        "1e",
        ".",
        "-",
        "+-1",
        "true",
        "False",
        "[1]",
        "1.2.3",
        "1;2",
        "½",
        "1f",
        "1d0",
        "1E+",
    ],
    *["1e400", "-1e309", "1e000001", "0e999999", "1e-999999", "#1", "'1'", "],[", "1],[2"],
    *["1 2", " ", "\t", '"1"', "1\n", "\r1", "1\v", "0" * 401, "1" * 400],
]


def cell(text):
    """*text* as a CSV cell."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow([text, "1"])
    return out.getvalue().rsplit(",", 1)[0]


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: repr(text)[:20])
@pytest.mark.parametrize("place", ["{},1", "1,{}", "1,2\n3,4\n5,{}\n6,7"])
def test_what_is_no_number_is_refused(way, text, place):
    """What Python's float() and the readers of tables would take."""
    raw = ("a,b\n" + place.format(cell(text))).encode()
    with pytest.raises(InvalidValues):
        TWO.read(CSV(raw))
    assert outcome(slow(TWO), raw) == outcome(TWO.read, CSV(raw))


NUMBERS = [
    *[
        "0",
        "-0",
        "-0.0",
        "+0",
        "1.",
        ".5",
        "-.5",
        "+1e5",
        "1E05",
        "00012",
        "1e-400",
        "5e-324",
        "2.2250738585072011e-308",
        "9007199254740993",
    ],
    *[
        "18446744073709551617",
        "1.7976931348623157e308",
        "0.1e-5",
        "123456789012345678",
        "8.41e21",
        "9.5367431640625e-7",
        "1e23",
    ],
    *["0" * 390 + "1", "0." + "3" * 900, "1" * 300, " 1\t", '"1"'],
]


@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: repr(text)[:20])
@pytest.mark.parametrize(
    "column",
    [Column("b"), Column("b", "integer"), Column("b", minimum=1), Column("b", levels=(0, 0.5, 2**53))],
    ids=["number", "integer", "minimum", "levels"],
)
def test_every_way_makes_the_same_number(way, text, column):
    """Bit for bit what the slow way makes, or the same refusal."""
    schema = Schema([Column("a"), column])
    raw = f"a,b\n1,{text}\n2,2\n".encode()
    if column.kind == "number" and column.levels is None and column.minimum is None:
        float_of = float(text.strip('"'))
        assert [float_of, 2.0] == schema.read(CSV(raw))["b"].tolist()

    assert outcome(slow(schema), raw) == outcome(schema.read, CSV(raw))


@pytest.mark.parametrize("cell", ["007", "+1", ".5", "1.", "-01", "1e400x"])
def test_where_any_value_may_be_only_a_number_of_json_is_one(cell):
    """The zeros of a postcode are no padding."""
    schema = Schema([Column("a", "any"), Column("b")])

    assert [cell] == schema.read(CSV(f"a,b\n{cell},1".encode())).texts[0]
    assert [7, 7.0, True] == schema.read(CSV(b"a,b\n7,1\n7.0,1\nTrue,1")).texts[0]


def test_one_answer_tells_every_fault(way):
    """The words, and the rows, are those of JSON."""
    rows = [{"age": 1, "plan": "pro", "visits": 1, "active": True, "note": "x"} for _ in range(5)]
    rows[1].update(age=None, plan="gold")
    rows[3].update(visits=1.5, active="yes")
    text = HEAD + "".join(",".join("" if v is None else str(v) for v in row.values()) + "\n" for row in rows)
    sent = outcome(MIXED.read, json.dumps(rows).encode())

    assert sent == outcome(MIXED.read, CSV(text.encode()))
    assert {"age", "plan", "visits", "active"} == sent[2]["errors"].keys()


def test_rows_are_counted_over_the_whole_body(way):
    """One answer for all tables, in whichever of them the first fault is."""
    lines = ["1,2"] * 30
    lines[12] = lines[29] = "x,2"
    raw = ("a,b\n" + "\n".join(lines)).encode()
    tables = TWO.iter_csv(raw, rows=10)

    assert 10 == len(next(tables))
    with pytest.raises(InvalidValues) as info:
        next(tables)
    assert {"a": "must be a number (row 12, 29)"} == info.value.errors


def test_missing_columns_are_told_beside_wrong_values(way):
    """And the name one of them was sent as."""
    raw = b"ages,plan,visits,active\n1,gold,,true\n"
    with pytest.raises(MissingColumns) as info:
        MIXED.read(CSV(raw))

    assert ["age", "note"] == info.value.missing_columns
    assert {"ages": "age"} == info.value.details["did_you_mean"]
    assert outcome(slow(MIXED), raw) == outcome(MIXED.read, CSV(raw))


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        (Column("b", minimum=0, maximum=1.5), "1.5", "1.6"),
        (Column("b", "integer", minimum=-1), "-1", "-2"),
        (Column("b", "integer"), "3.0", "3.5"),
        (Column("b", "integer"), "9007199254740992", "9007199254740993"),
        (Column("b", "integer", (1, 2)), "2", "3"),
        (Column("b", "number", (0.5, 1)), "1", "1.5"),
        (Column("b", "boolean"), "TRUE", "1"),
        (Column("b", "boolean", (True,)), "true", "false"),
        (Column("b", "text", pattern="^x"), "xy", "yx"),
        (Column("b", "text", max_length=2), "xy", "xyz"),
        (Column("b", "any"), "xy", ""),
    ],
    ids=str,
)
def test_rules_are_kept(way, column, good, bad):
    """Bounds, levels and forms."""
    schema = Schema([Column("a"), column])
    raw = f"a,b\n1,{good}\n2,{good}\n".encode()

    assert 2 == len(schema.read(CSV(raw)))
    assert outcome(slow(schema), raw) == outcome(schema.read, CSV(raw))
    with pytest.raises(InvalidValues, match=r"b must .*row 1"):
        schema.read(CSV(f"a,b\n1,{good}\n2,{bad}\n".encode()))


# Tables of a part each


@pytest.mark.parametrize("rows", [1, 7, 100, 8192])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=repr)
def test_the_parts_are_the_whole(way, rows, quote, end):
    """Whatever the lines' lengths, none is lost and none is cut."""
    generator = np.random.default_rng(1)
    lines = [
        f"{x!r},{quote}{'' if at % 5 else at}{quote}"
        for at, x in enumerate(generator.normal(size=300).tolist())
    ]
    lines[0], lines[100] = f"1,{quote}{quote}", "1." + "0" * 5000 + ",2"
    raw = end.join(["a,b", *lines]).encode()
    tables = list(TWO.iter_csv(raw, rows))
    whole = TWO.read(CSV(raw))

    assert 300 == len(whole) == sum(map(len, tables))
    assert max(map(len, tables)) <= rows
    assert whole.numbers.tobytes() == b"".join(table.numbers.tobytes() for table in tables)


@pytest.mark.parametrize("rows", [0, 2.5, True])
def test_a_table_has_a_row_at_least(rows):
    """A part of none would never end."""
    with pytest.raises(ValueError, match=f"rows={rows}"):
        TWO.iter_csv(b"a,b\n1,2\n", rows)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview], ids=lambda form: form.__name__)
def test_bytes_are_read_whatever_holds_them(form):
    """Also where they are marked as CSV twice."""
    raw = form(b"a,b\n1,2\n")
    expected = [{"a": 1.0, "b": 2.0}]

    assert expected == TWO.read(CSV(raw)).rows()
    assert [expected] * 2 == [table.rows() for told in (raw, CSV(raw)) for table in TWO.iter_csv(told)]


@pytest.mark.parametrize("raw", ["a,b\n1,2\n", io.BytesIO(b"a,b\n1,2\n"), None], ids=["text", "file", "none"])
def test_what_is_no_bytes_is_told_so(raw):
    """A text is to be encoded, a file to be read."""
    for read in (TWO.iter_csv, lambda raw: TWO.read(CSV(raw))):
        with pytest.raises(InvalidInput, match=f"from bytes, not from {type(raw).__name__}: encode"):
            read(raw)


def test_an_empty_cell_is_the_level_without_characters(way):
    """Where it cannot be null: it could not be sent otherwise."""
    levels = Column("a", "text", ("", "x"))
    raw = CSV(b'a,b\n,1\n"",2\nx,3\n')

    assert ["", "", "x"] == Schema.of(a=levels, b=float).read(raw)["a"].tolist()
    assert [None, None, "x"] == Schema.of(a=replace(levels, nullable=True), b=float).read(raw)["a"].tolist()


@pytest.mark.parametrize("reader", ["pandas", "polars"])
def test_a_large_body_of_numbers_is_read_by_the_block(monkeypatch, reader):
    """From the size on at which it is worth it, by whichever is there, and with no check cell by cell."""
    schema = Schema.of(**dict.fromkeys("abcdefgh", float))
    numbers = np.random.default_rng(2).normal(size=(8_000, 8))
    numbers[7] = -0.0
    raw = CSV(pandas.DataFrame(numbers, columns=list("abcdefgh")).to_csv(index=False).encode())
    monkeypatch.setitem(sys.modules, {"pandas": "polars", "polars": "pandas"}[reader], None)
    monkeypatch.setattr(csv_fast.Plan, "_decode", None)
    monkeypatch.setattr(csv_fast.Plan, "of_cells", None)

    assert numbers.tobytes() == schema.read(raw).numbers.tobytes()


@pytest.mark.parametrize("line", ["70,x", "70,-0", "70,-0.0", "70,", "70", "70, 2", "70,1,3", "70,1e400"])
def test_where_a_block_is_in_doubt_the_lines_before_are_read_once(monkeypatch, line):
    """And those after it: the tables are the parts of the whole."""
    monkeypatch.setattr(csv_numbers, "LARGE", 0)
    raw = "\r\n".join(["a,b", *(f"{at},1.5" for at in range(70)), line, "71,1", "72,1"]).encode()
    tables = []

    def parts(raw):
        tables.extend(TWO.iter_csv(raw, 10))
        return Table.joined(tables)

    expected, found = outcome(slow(TWO), raw), outcome(parts, raw)

    assert expected == found
    read = [a for table in tables for a in table["a"].tolist()]
    assert read == [float(at) for at in range(len(read))]
    assert (73 if isinstance(expected[0], list) else 60) <= len(read)


def test_empty_lines_at_the_end_are_none():
    """An editor's or an export's; anywhere else an empty line is a row without cells."""
    schema = Schema.of(a=float, b=str)
    for end in (b"", b"\n", b"\r\n", b"\n\n\n"):
        assert [{"a": 1.0, "b": "x"}] == schema.read(CSV(b"a,b\n1,x" + end)).rows()


def test_more_rows_than_are_accepted():
    """They are refused before all of them are read."""
    schema = Schema.of(a=float)
    body = CSV(b"a\n" + b"1\n" * 11)

    assert 11 == len(schema.read(body, 11))
    with pytest.raises(InvalidInput, match="more than the 10 rows"):
        schema.read(body, 10)


def test_tables_are_joined(monkeypatch):
    """A body of several readings is one table, with all its warnings once."""
    monkeypatch.setattr(csv_rows, "ROWS", 2)
    schema = Schema.of(a=float, plan=["free"]).reading(unknown_levels="warn")
    table = schema.read(CSV(b"a,plan\n" + b"".join(b"%d,pro%d\n" % (at, at) for at in range(5))))

    assert [{"a": float(at), "plan": f"pro{at}"} for at in range(5)] == table.rows()
    assert ("plan has values the model was not trained with",) == table.warnings
