"""Validation reports, and the options of schemas and columns."""

import msgspec
import numpy as np
import pytest

from modelgate import (
    CSV,
    Column,
    ConfigurationError,
    Gate,
    InvalidInput,
    InvalidValues,
    MalformedBody,
    MissingColumns,
    Schema,
)
from modelgate.schema.report import ValidationReport
from modelgate.schema.row_validator import check_row_count, check_sparsity, validate_part, validate_rows
from modelgate.schema.split_rows import LazyRows
from modelgate.testing import Client

SCHEMA = Schema(
    [
        Column("age", "integer", minimum=0, maximum=120),
        Column("income"),
        Column("beds", minimum=1),
        Column("plan", "text", levels=("free", "pro")),
        Column("city", "text", max_length=5, pattern="^[A-Z]"),
    ]
)
GOOD = {"age": 41, "income": 1.5, "beds": 2, "plan": "pro", "city": "Rome"}


def read_error(rows, schema=SCHEMA):
    with pytest.raises((InvalidValues, MissingColumns)) as info:
        schema.read(rows)
    return info.value


@pytest.mark.parametrize("convert", [dict, msgspec.json.encode], ids=["python", "json"])
def test_report_contains_all_kinds_of_errors(convert):
    """A missing column, a null, a wrong type, an unknown level and an extra column."""
    row = {"bed": 2, "age": None, "income": "much", "plan": "premium", "city": "Rome"}
    error = read_error(convert(row), SCHEMA.with_options(extra_columns="forbid"))

    assert {
        "missing_columns": ["beds"],
        "errors": {
            "age": "must not be null",
            "income": "must be a number",
            "plan": "must be one of free, pro",
        },
        "unexpected_columns": ["bed"],
        "did_you_mean": {"bed": "beds"},
    } == error.details


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"age": 121}, "age must be a whole number between 0 and 120"),
        ({"age": "old"}, "age must be a whole number between 0 and 120"),
        ({"beds": 0}, "beds must be a number of at least 1"),
        ({"city": "London"}, "city must be text of at most 5 characters that matches ^[A-Z]"),
        ({"city": "rome"}, "city must be text of at most 5 characters that matches ^[A-Z]"),
        ({"plan": "Pro "}, "plan must be one of free, pro: did you mean pro?"),
        ({"plan": "fre"}, "plan must be one of free, pro: did you mean free?"),
    ],
)
def test_report_describes_rules_and_suggests_levels(value, message):
    assert f"Invalid input data: {message}" == read_error(GOOD | value).message


@pytest.mark.parametrize("cell", ["nan", "None", "N/A", "n/a", "-", "?"])
def test_cell_that_may_mean_null_is_explained(cell):
    """The default of na_values has four texts, as pandas and R write them."""
    schema = Schema(
        [Column("a", nullable=True), Column("b", "boolean", nullable=True), Column("c", nullable=False)]
    )
    hint = "; for null, send an empty cell, or have the option na_values set"
    error = read_error(CSV(f"a,b,c\n{cell},{cell},{cell}\n".encode()), schema)

    assert {
        "a": f"must be a number{hint}",
        "b": f"must be true or false{hint}",
        "c": "must be a number",
    } == error.details["errors"]


@pytest.mark.parametrize("value", [1, 0, "1", CSV(b"on\n0\n")], ids=repr)
@pytest.mark.parametrize("levels", [None, (False, True)], ids=["kind", "levels"])
def test_number_for_a_boolean_is_explained(levels, value):
    schema = Schema([Column("on", "boolean", levels)])
    rule = "must be true or false" if levels is None else "must be one of false, true"

    assert f"Invalid input data: on {rule}, instead of 1 or 0" == (
        read_error(value if isinstance(value, CSV) else {"on": value}, schema).message
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1.5, "must be a whole number"),
        ("x", "must be a whole number"),
        (2**60, "is too large: send a number"),
    ],
    ids=str,
)
def test_value_that_is_no_unknown_level_either_breaks_the_rule_of_the_kind(value, problem):
    """Levels are not the rule if unknown ones are accepted."""
    schema = Schema.of(rooms=[1, 2, 3]).with_options(unknown_levels="accept")

    assert read_error({"rooms": value}, schema).details["errors"]["rooms"].startswith(problem)


def test_bounds_are_inclusive():
    for value in ({"age": 0}, {"age": 120}, {"beds": 1}, {"city": "Paris"}):
        assert 1 == len(SCHEMA.read(GOOD | value))


def test_report_lists_the_first_rows_and_counts_the_others():
    error = read_error([GOOD | {"income": None if index % 2 else "x"} for index in range(20)])

    assert {
        "income": "must be a number (row 0, 2, 4, 6, 8 and 5 more); "
        "must not be null (row 1, 3, 5, 7, 9 and 5 more)"
    } == error.errors


@pytest.mark.slow
def test_report_limits_the_number_of_columns():
    """It shows 100 columns with wrong values, but all missing ones."""
    wide = Schema([Column(f"c{index}") for index in range(4096)])
    wrong = read_error({f"c{index}": "x" for index in range(4096)}, wide)
    missing = read_error({f"d{index}": 1 for index in range(4096)}, wide.with_options(extra_columns="forbid"))

    assert (4096, 100) == (len(wrong.errors), len(wrong.details["errors"]))
    assert len(wrong.message) < 10_000
    assert 4096 == len(missing.missing_columns)
    assert 100 == len(missing.details["unexpected_columns"])


def test_unexpected_columns_are_reported_if_forbidden():
    assert 1 == len(SCHEMA.read(GOOD | {"id": 7}))
    error = read_error(GOOD | {"id": 7}, SCHEMA.with_options(extra_columns="forbid"))

    assert "Invalid input data: id is not expected" == error.message
    assert {"unexpected_columns": ["id"]} == error.details


def test_values_are_shown_only_with_echo_values():
    """Long values are cut."""
    value = {"income": "s3cret" * 100}

    assert "s3cret" not in str(read_error(GOOD | value).details)
    shown = read_error(GOOD | value, SCHEMA.with_options(echo_values=True)).errors["income"]
    assert shown.startswith("must be a number, not 's3cret")
    assert len(shown) < 100


def test_response_hides_the_schema_without_show_schema():
    """The exception still has all details."""
    error = read_error({"age": 7}, SCHEMA.with_options(show_schema=False))

    assert ("Invalid input data", {}) == (error.message, error.details)
    assert ["income", "beds", "plan", "city"] == error.missing_columns


@pytest.mark.parametrize(
    ("policy", "status", "warnings"),
    [
        ("reject", 400, None),
        ("warn", 200, ["plan has values the model was not trained with"]),
        ("accept", 200, None),
    ],
)
def test_unknown_levels_option(policy, status, warnings):
    gate = Gate(keys="open")
    schema = Schema.of(plan=["free", "pro"]).with_options(unknown_levels=policy)

    @gate.handler("plans", schema=schema)
    def plans(table):
        return table["plan"].tolist()

    for app in (gate.wsgi, gate.asgi):
        answer = Client(app).post("/api/predict", json={"input_data": {"plan": "gold"}})
        known = Client(app).post("/api/predict", json={"input_data": {"plan": "pro"}})

        assert (status, warnings) == (answer.status, answer.json().get("warnings"))
        assert {"predictions": ["pro"]} == known.json()


def test_missing_column_gets_its_default():
    schema = Schema([Column("a", default=1.5), Column("b", "text", default="x"), Column("c", required=False)])
    for rows in (b"{}", {"a": 1.5}, b'[{"b": "x"}]'):
        assert [{"a": 1.5, "b": "x", "c": None}] == schema.read(rows).rows()


def test_nan_option():
    schema = Schema([Column("a", nullable=True)])

    assert [{"a": None}] == schema.read({"a": float("nan")}).rows()
    read_error({"a": float("nan")}, schema.with_options(nan="reject"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Column("a", minimum=3, maximum=2), "minimum must be at most maximum=2"),
        (lambda: Column("a", "text", minimum=3), "minimum must be left out for the kind text"),
        (lambda: Column("a", maximum=float("nan")), "maximum must be a finite number.*got nan"),
        (lambda: Column("a", maximum=True), "maximum must be a finite number.*got True"),
        (lambda: Column("a", pattern="x"), "pattern must be left out for the kind number"),
        (lambda: Column("a", "text", pattern="("), "regular expression"),
        (lambda: Column("a", "text", max_length=0), "max_length must be a whole number from 1"),
        (lambda: Column("a", "integer", max_length=3), "max_length must be left out for the kind integer"),
        (lambda: Column("a", maximum=3, default=4), "default must be.*of at most 3.*got 4"),
        (lambda: Column("a", levels=("x",)), "levels must be.*got 'x'"),
        (lambda: Column("a", "text", levels=()), "levels"),
        (lambda: Column("a", "date"), "kind must be one of number, integer.*got 'date'"),
        (
            lambda: SCHEMA.with_options(extra_columns="maybe"),
            "extra_columns must be one of ignore, forbid.*'maybe'",
        ),
        (lambda: SCHEMA.with_options(unknown_levels="drop"), "unknown_levels"),
        (lambda: SCHEMA.with_options(nan=None), "nan"),
        (lambda: SCHEMA.with_options(coerce_strings="yes"), "coerce_strings must be True or False"),
        (lambda: SCHEMA.with_options(strict=True), "option must be one of extra_columns, .*got 'strict'"),
    ],
)
def test_invalid_options_are_rejected(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_suggestions_compare_few_and_short_names(monkeypatch):
    """Rejecting a request must not cost as much as a prediction."""
    compared = []

    def get_close_matches(name, names, **options):
        compared.extend((name, other) for other in names)
        return []

    monkeypatch.setattr("difflib.get_close_matches", get_close_matches)
    schema = Schema([Column(f"column-{index}") for index in range(300)] + [Column("n" * 100)])
    read_error({f"colunm-{index}" + "m" * (index % 2 * 100): "x" for index in range(300)}, schema)

    assert 0 < len(compared) <= 100
    assert all(len(name) <= 60 and len(other) <= 60 for name, other in compared)


@pytest.mark.slow
@pytest.mark.parametrize(
    "columns",
    [[Column("a", required=False)], [Column("a", default=1.0), Column("b", "text", required=False)]],
)
def test_small_body_with_many_cells_is_rejected(columns):
    wide = Schema(columns + [Column(f"c{index}", required=False) for index in range(1000)])
    with pytest.raises(InvalidInput, match="leave out most"):
        wide.read(b"[" + b",".join([b"{}"] * 10_000) + b"]", 10_000)

    assert 100 == len(wide.read(b"[" + b",".join([b"{}"] * 100) + b"]", 10_000))


@pytest.mark.parametrize("name", [0.5, ("a", "b"), None])
def test_column_names_in_rows_must_be_text(name):
    with pytest.raises(InvalidInput, match="rename the column, or send an array"):
        SCHEMA.read([{name: 1}])


@pytest.mark.parametrize("value", [np.array([1, 2]), np.zeros((2, 2)), [1], {"a": 1}, object()])
def test_cell_must_be_a_single_value(value):
    assert {"age"} == set(read_error([GOOD | {"age": value}]).errors)


def test_true_is_not_a_numeric_level():
    """In Python, True == 1."""
    schema = Schema([Column("a", "any", levels=(1, 2))])

    assert [{"a": 1}] == schema.read(b'{"a": 1}').rows()
    read_error(b'{"a": true}', schema)
    read_error({"a": True}, schema)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nullable": "false"}, "nullable must be True or False.*got 'false'"),
        ({"required": 1}, "required must be True or False.*got 1"),
        ({"description": 5}, "description must be text.*got 5"),
        ({"observed_range": 5}, "observed_range must be.*got 5"),
        ({"kind": "integer", "minimum": 2.5, "maximum": 2.6}, "a whole number between"),
        ({"kind": "integer", "minimum": 2**60}, "a whole number between"),
        ({"observed_range": (1.0,)}, "observed_range must be"),
        ({"typical_value": float("nan")}, "typical_value must be.*got nan"),
        ({"levels": 5}, "levels must be a tuple.*got 5"),
        ({"kind": "text", "levels": "abc"}, "levels must be a tuple.*got 'abc'"),
        ({"kind": "text", "pattern": b"x"}, "pattern"),
    ],
)
def test_column_options_of_another_type_are_rejected(options, message):
    """For example, the text "false" would be truthy."""
    with pytest.raises(ConfigurationError, match=message):
        Column("a", **options)


def test_schema_accepts_only_columns():
    with pytest.raises(ConfigurationError, match="must be a sequence of Column"):
        Schema(["a"])


def find_error(rows, columns=SCHEMA.columns, options=SCHEMA.options, **arguments):
    with pytest.raises(InvalidInput) as info:
        validate_rows(columns, rows, options, **arguments)
    return info.value


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (7, "Row 1 is not an object of column names and values"),
        ([1], "Row 1 is not an object of column names and values"),
        (None, "Row 1 is not an object of column names and values"),
        (
            '{"age": 41}',
            "Row 1 is a text that contains JSON: it was encoded twice, so send the object or array itself",
        ),
    ],
)
def test_rows_must_be_objects(row, message):
    with pytest.raises(MalformedBody) as info:
        validate_rows(SCHEMA.columns, [GOOD, row], SCHEMA.options)

    assert message == str(info.value)


def test_rows_are_counted_over_all_parts_of_an_input():
    report = ValidationReport()
    for ages in ([1, 2], [3, -1]):
        validate_part(
            SCHEMA.columns, [GOOD | {"age": age} for age in ages], SCHEMA.options, report, set(GOOD)
        )
    with pytest.raises(MalformedBody, match="Row 4 is not"):
        validate_part(SCHEMA.columns, [7], SCHEMA.options, report, set(GOOD))

    assert (4, [3]) == (report.rows, report.errors["age"][0].rows)


def test_column_that_an_earlier_part_lacks_is_only_reported_for_its_rows():
    """A part after one with errors returns no table."""
    report, other = ValidationReport(), {name: GOOD[name] for name in GOOD if name != "age"}
    parts = [[GOOD, other], [GOOD, GOOD], [GOOD | {"age": -1}, other]]
    tables = [validate_part(SCHEMA.columns, part, SCHEMA.options, report, set(GOOD)) for part in parts]
    with pytest.raises(MissingColumns) as info:
        report.raise_for_errors(6, SCHEMA.columns, SCHEMA.options)

    assert [None] * 3 == tables
    assert {"age": "is missing (row 1, 5)"} == info.value.details["errors"]


def test_similar_names_are_columns_in_every_row():
    columns = [Column("first name", "text"), Column("b")]
    table = validate_rows(columns, [{"first_name": "x", "b": 1}, {"first_name": "y", "b": 2}], SCHEMA.options)

    assert [{"first name": "x", "b": 1.0}, {"first name": "y", "b": 2.0}] == list(table.rows())


@pytest.mark.parametrize("extra", ["forbid", "ignore"])
def test_similar_name_is_not_unexpected(extra):
    options = Schema([Column("a b"), Column("c")]).with_options(extra_columns=extra).options
    columns = [Column("a b"), Column("c")]
    report = ValidationReport()
    validate_part(columns, [{"a_b": 1, "c": 2, "d": 3}], options, report)

    assert (["d"] if extra == "forbid" else []) == report.unexpected
    error = find_error([{"a_b": 1, "d": 3}], columns, options)
    assert (["d"] if extra == "forbid" else None) == error.details.get("unexpected_columns")


@pytest.mark.parametrize(
    ("row", "wrapper"),
    [
        ({"row": GOOD}, "row"),
        ({"x": 1, "rows": [GOOD, GOOD]}, "rows"),
        ({"x": 1, "rows": [GOOD]}, "rows"),
        ({"rows": []}, None),
        ({"row": {"x": 1}}, None),
        ({"age": GOOD}, None),
        ({"row": "age"}, None),
    ],
)
def test_error_suggests_the_object_that_contains_the_row(row, wrapper):
    """Only that of the first row."""
    hint = f": the row is one level too deep, send the value of {wrapper!r} alone" if wrapper else ""

    assert f"Prediction failed due to missing input data{hint}" == find_error([row, {"other": GOOD}]).message


def test_object_that_contains_the_row_is_searched_in_the_first_part():
    """A later part may lack a column."""
    report, names = ValidationReport(), {*GOOD, "row"}
    validate_part(SCHEMA.columns, [GOOD | {"row": GOOD}], SCHEMA.options, report, names)
    validate_part(SCHEMA.columns, [GOOD | {"other": GOOD}], SCHEMA.options, report, names)

    assert "row" == report.wrapper


@pytest.mark.parametrize("names", [None, set(GOOD)], ids=["only part", "one of several"])
def test_empty_input_is_an_empty_table(names):
    table = validate_part(SCHEMA.columns, [], SCHEMA.options, ValidationReport(), names)

    assert (0, (0, 3)) == (len(table), table.numbers.shape)


def test_text_of_json_is_no_number():
    report = ValidationReport()

    assert validate_part([Column("a")], [{"a": "1"}], SCHEMA.options, report) is None
    assert ["a"] == list(report.errors)


@pytest.mark.parametrize(
    ("rows", "columns", "size", "rejected"),
    [
        (1001, 1000, 1_000_999, True),
        (1001, 1000, 1_001_000, False),
        (1000, 1000, 10, False),
        (2_000_000, 1, 6_000_000, False),
    ],
)
def test_table_may_have_a_million_cells_or_as_many_as_bytes(rows, columns, size, rejected):
    message = f"The body has {rows} rows that leave out most of the {columns} columns: send fewer rows"
    try:
        check_sparsity(rows, columns, size)
    except InvalidInput as error:
        assert (True, message) == (rejected, str(error))
    else:
        assert not rejected


@pytest.mark.parametrize("rows", [[{}, {}], LazyRows(2, list), {}, "rows", None])
def test_more_rows_than_accepted_are_rejected(rows):
    """Lists are counted, and whatever else is sent is left to the decoder."""
    check_row_count(rows, None)
    check_row_count(rows, 2)
    if isinstance(rows, list | LazyRows):
        with pytest.raises(InvalidInput) as info:
            check_row_count(rows, 1)
        assert "2 rows are more than the limit of 1 per request: send fewer rows" == str(info.value)
        assert {"max_rows": 1} == info.value.details
    else:
        check_row_count(rows, 1)


def test_absent_cell_has_the_default_of_its_kind():
    columns = [Column("a", "integer", required=False, default=2.0), Column("b", required=False), Column("c")]
    [row] = validate_rows(columns, [{"c": 1}], SCHEMA.options).rows()

    assert {"a": 2, "b": None, "c": 1.0} == row


def test_cell_without_value_is_null_where_the_column_allows_it():
    columns = [Column("a"), Column("b", nullable=True), Column("t", "text", nullable=True)]
    cells = {"a": "1", "b": "NA", "t": "NA"}
    [row] = validate_rows(columns, [cells], SCHEMA.options, text=True).rows()

    assert {"a": 1.0, "b": None, "t": "NA"} == row
    error = find_error([cells, cells | {"a": ""}], columns, text=True)
    assert {"a": "must not be null (row 1)"} == error.details["errors"]


def test_arrays_are_validated_one_by_one():
    columns = [Column("w", "tensor", shape=(2,)), Column("b")]
    rows = [{"w": [1, 2], "b": 1}, {"w": None, "b": 1}, {"w": [1], "b": 1}]
    rule = "must be nested arrays of numbers of the shape [2]"

    assert {"w": f"must not be null (row 1); {rule} (row 2)"} == find_error(rows, columns).details["errors"]
    assert {"w": "is missing (row 1)"} == find_error([rows[0], {"b": 1}], columns).details["errors"]


@pytest.mark.parametrize(
    ("column", "value", "coerced"),
    [
        (Column("a"), "1.5", True),
        (Column("a", "any"), "1.5", False),
        (Column("a", "datetime"), "2024-01-31", True),
    ],
)
def test_texts_that_are_parsed(column, value, coerced):
    """A datetime is always sent as text."""
    options = Schema([column]).with_options(coerce_strings=True).options
    [[parsed]] = [list(row.values()) for row in validate_rows([column], [{"a": value}], options).rows()]

    assert coerced == (type(parsed) is not str)
    if column.kind == "datetime":
        assert len(validate_rows([column], [{"a": value}], SCHEMA.options)) == 1


def test_known_level_gives_no_warning():
    columns = [Column("plan", "text", levels=("free", "pro"))]
    options = Schema(columns).with_options(unknown_levels="warn").options
    known, unknown = (validate_rows(columns, [{"plan": plan}], options) for plan in ("pro", "gold"))

    assert () == known.warnings
    assert ("plan has values the model was not trained with",) == unknown.warnings
