"""Coercion of values as documented in the table of docs/schema.md."""

import datetime
import decimal
import fractions
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelgate import Column, InvalidValues, Schema
from modelgate.schema.coerce import (
    broken_rule,
    coerce_to_kind,
    coercion_warnings,
    null_texts,
    parse_text,
    to_json_value,
)
from modelgate.schema.row_validator import validate_rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "schema.md"


def iter_documented_cells():
    """Yield the value sent, the kind, whether strings are coerced, and the documented result."""
    section = DOCUMENT.read_text("utf-8").split("## Values and kinds")[1].split("\n\n")[1]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
    for sent, *results in rows:
        for kind, cell in zip(head[1:], results, strict=True):
            strict, _, lenient = cell.partition("; coerced ")
            yield sent.strip("`"), kind, False, strict
            yield sent.strip("`"), kind, True, lenient or strict


TABLE = list(iter_documented_cells())


def test_documented_table_is_complete():
    """Every kind, both modes, and no row lost by the parser."""
    assert {"number", "integer", "boolean", "text", "any"} == {kind for _, kind, _, _ in TABLE}
    assert 2 * 5 * 14 == len(TABLE)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "kind", "lenient", "documented"), TABLE)
def test_values_are_coerced_as_documented(sent, kind, lenient, documented):
    """From JSON and from Python, by the typed decoder and cell by cell."""
    schema = Schema([Column("a", kind)]).with_options(coerce_strings=lenient)
    reads = [
        lambda: schema.read(b'{"a": %s}' % sent.encode()),
        lambda: schema.read({"a": json.loads(sent)}),
        lambda: validate_rows(schema.columns, [{"a": json.loads(sent)}], schema.options),
    ]
    for read in reads:
        if documented == "rejected":
            with pytest.raises(InvalidValues):
                read()
        else:
            [row] = read().rows()
            expected = json.loads(documented)

            assert (type(expected), expected) == (type(row["a"]), row["a"])


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("number", " \t1.5\t ", 1.5),
        ("number", "+007", 7),
        ("number", "-9007199254740993", -9007199254740993),
        ("number", "9" * 400, int("9" * 400)),
        ("number", "9" * 401, "9" * 401),
        ("number", ".5e3", 500.0),
        ("number", "1.", 1.0),
        ("number", "1e123456", "1e123456"),
        ("number", "\u00a01", "\u00a01"),
        ("number", "\u0661", "\u0661"),
        ("number", "1_000", "1_000"),
        ("number", "inf", "inf"),
        ("number", "true", "true"),
        ("boolean", " TRUE\t", True),
        ("boolean", "false", False),
        ("boolean", "1", "1"),
        ("any", "False", False),
        ("any", " 1.5 ", 1.5),
        ("any", "-0.5E-1", -0.05),
        ("any", "007", "007"),
        ("any", "+1", "+1"),
        ("any", " x ", " x "),
        ("text", " 1 ", " 1 "),
        ("datetime", " 2024-01-06\t", np.datetime64("2024-01-06T00:00:00", "us")),
        ("datetime", " 6 Jan ", " 6 Jan "),
    ],
)
def test_text_is_parsed_as_the_kind_or_unchanged(kind, text, expected):
    """White space is only ignored around a number, a boolean or a datetime."""
    value = parse_text(Column("a", kind), text)

    assert (type(expected), expected) == (type(value), value)


def test_text_of_a_boolean_is_parsed_where_booleans_count_as_numbers():
    column = Column("a", accepts_booleans=True)

    assert [True, 1, "yes"] == [parse_text(column, text) for text in (" True", "1", "yes")]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column("a"), {"", "NA"}),
        (Column("a", "boolean", nullable=True), {"", "NA"}),
        (Column("a", "text"), {""}),
        (Column("a", "any"), {""}),
        (Column("a", "text", ("x", "")), set()),
        (Column("a", "text", ("x", ""), nullable=True), {""}),
        (Column("a", "text", ("x", "y")), {""}),
    ],
    ids=repr,
)
def test_cells_that_mean_null_depend_on_the_kind_and_the_levels(column, expected):
    assert expected == null_texts(column, ["NA"])


TOO_LARGE = "is too large: send a number from -{0} to {0}"


@pytest.mark.parametrize(
    ("column", "value", "text", "expected"),
    [
        (Column("a"), "1,5", True, "must be a number, with a decimal point instead of a comma"),
        (Column("a"), "\t-12,50 ", False, "must be a number, with a decimal point instead of a comma"),
        (Column("a"), "1,5 kg", True, "must be a number"),
        (Column("a", "integer"), "1,5", True, "must be a whole number"),
        (Column("a"), "1.5", False, "must be a number, without quotes"),
        (Column("a", maximum=1), "1.5", True, "must be a number of at most 1"),
        (Column("a"), True, False, "must be a number"),
        (Column("a"), "9" * 309, False, TOO_LARGE.format("1.7e308")),
        (Column("a"), "9" * 401, True, TOO_LARGE.format("1.7e308")),
        (Column("a"), "-1e999", True, TOO_LARGE.format("1.7e308")),
        (Column("a", maximum=1), 1.7976931348623157e308, False, "must be a number of at most 1"),
        (Column("a", "integer"), -(2**53) - 1, False, TOO_LARGE.format(2**53)),
        (Column("a", "integer", maximum=5), 2**53, False, "must be a whole number of at most 5"),
        (Column("a", "integer", (1, 2)), 2**60, False, "must be one of 1, 2"),
        (Column("a", "integer"), [1], False, "must be a whole number"),
        (Column("a", "boolean"), 0, False, "must be true or false, instead of 1 or 0"),
        (Column("a", "boolean"), " 0\t", True, "must be true or false, instead of 1 or 0"),
        (Column("a", "boolean"), 2, False, "must be true or false"),
        (Column("a", "text"), 1, False, "must be text"),
        (
            Column("a", "text", max_length=1, nullable=True),
            "na",
            True,
            "must be text of at most 1 characters",
        ),
        (Column("a", nullable=True), "NA", False, "must be a number"),
    ],
)
def test_broken_rule_has_a_hint_for_common_mistakes(column, value, text, expected):
    assert expected == broken_rule(column, value, text=text)


@pytest.mark.parametrize(
    ("column", "values", "warned"),
    [
        (Column("a", "any"), ["x", None, 1], True),
        (Column("a", "any"), [False], True),
        (Column("a", "any"), ["x", None], False),
        (Column("a", "any", (1, "x")), [1], False),
        (Column("a"), [1], False),
    ],
)
def test_cells_of_any_kind_that_look_like_numbers_cause_a_warning(column, values, warned):
    message = "a: CSV cells that look like numbers or booleans were read as such: send JSON if they are text"

    assert [message] * warned == coercion_warnings(column, values)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (Column("a", "integer"), 2.0, 2),
        (Column("a"), 2, 2),
        (Column("a"), 2.5, 2.5),
        (Column("a", "integer"), None, None),
        (Column("a", accepts_booleans=True), True, 1),
        (Column("a", "boolean"), True, True),
    ],
)
def test_allowed_values_are_coerced_to_the_kind(column, value, expected):
    coerced = coerce_to_kind(column, value)

    assert (type(expected), expected) == (type(coerced), coerced)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int8(3), 3),
        (np.float32(0.5), 0.5),
        (np.array(2), 2),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.ma.masked, None),
        (pd.NA, None),
        (pd.NaT, None),
        (None, None),
        (datetime.date(2024, 1, 6), "2024-01-06"),
        (datetime.time(10, 30), "10:30:00"),
        (pd.Timestamp("2024-01-06T10:00Z"), "2024-01-06T10:00:00+00:00"),
        (np.datetime64("2024-01-06"), "2024-01-06"),
        (np.datetime64("NaT"), None),
        (np.datetime64("2024-01-06T10:00:00.000001", "ns"), "2024-01-06T10:00:00.000001"),
        (np.datetime64("2024-01-06T10:00:00.000000001", "ns"), "2024-01-06T10:00:00.000000001"),
        (np.datetime64("12024-01-06", "s"), "12024-01-06T00:00:00"),
        (decimal.Decimal("1.5"), 1.5),
        (decimal.Decimal(2**53), 2**53),
        (decimal.Decimal(2**53 - 1), float(2**53 - 1)),
        (decimal.Decimal(2**53 + 1), 2**53 + 1),
        (decimal.Decimal(2**53) + decimal.Decimal("0.5"), float(2**53)),
        (decimal.Decimal("-Infinity"), -np.inf),
        (fractions.Fraction(1, 4), 0.25),
    ],
    ids=repr,
)
def test_python_values_have_json_equivalents(value, expected):
    converted = to_json_value(value)

    assert (type(expected), expected) == (type(converted), converted)


@pytest.mark.parametrize(
    "value",
    [decimal.Decimal("sNaN"), fractions.Fraction(10**400), np.timedelta64(1, "s"), np.array([1]), {}],
    ids=repr,
)
def test_values_without_json_equivalent_are_unchanged(value):
    assert to_json_value(value) is value
