"""What is told of a faulty input, and what is not."""

import msgspec
import numpy as np
import pytest

from modelgate import Column, ConfigurationError, Gate, InvalidInput, InvalidValues, MissingColumns, Schema
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


def refused(rows, schema=SCHEMA):
    with pytest.raises((InvalidValues, MissingColumns)) as info:
        schema.read(rows)
    return info.value


@pytest.mark.parametrize("form", [dict, msgspec.json.encode], ids=["python", "json"])
def test_one_answer_names_all_five(form):
    """A missing column, a null, a wrong type, an unknown level and an extra column, in one answer."""
    row = {"bed": 2, "age": None, "income": "much", "plan": "premium", "city": "Rome"}
    error = refused(form(row), SCHEMA.reading(extra="forbid"))

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
    ("value", "told"),
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
def test_rules_in_words(value, told):
    """A rule says what a value must be, and a near level is named."""
    assert f"Invalid input data: {told}" == refused(GOOD | value).message


def test_bounds_are_allowed():
    """The least and the greatest number belong to what is allowed, and levels and lengths too."""
    for value in ({"age": 0}, {"age": 120}, {"beds": 1}, {"city": "Paris"}):
        assert 1 == len(SCHEMA.read(GOOD | value))


def test_rows_are_counted_and_capped():
    """Of many wrong rows the first are numbered and the others counted."""
    error = refused([GOOD | {"income": None if at % 2 else "x"} for at in range(20)])

    assert {
        "income": "must be a number (row 0, 2, 4, 6, 8 and 5 more); "
        "must not be null (row 1, 3, 5, 7, 9 and 5 more)"
    } == error.errors


def test_an_answer_has_a_size():
    """Of thousands of wrong columns, the first hundred are told; all that are missing are named."""
    wide = Schema([Column(f"c{at}") for at in range(4096)])
    wrong = refused({f"c{at}": "x" for at in range(4096)}, wide)
    missing = refused({f"d{at}": 1 for at in range(4096)}, wide.reading(extra="forbid"))

    assert (4096, 100) == (len(wrong.errors), len(wrong.details["errors"]))
    assert len(wrong.message) < 10_000
    assert 4096 == len(missing.missing_columns)
    assert 100 == len(missing.details["unexpected_columns"])


def test_unexpected_columns_alone():
    """A column nobody asked for is named where it is forbidden, and ignored where it is not."""
    assert 1 == len(SCHEMA.read(GOOD | {"id": 7}))
    error = refused(GOOD | {"id": 7}, SCHEMA.reading(extra="forbid"))

    assert "Invalid input data: id is not expected" == error.message
    assert {"unexpected_columns": ["id"]} == error.details


def test_values_are_shown_only_when_asked_for():
    """Not a trace of a value, unless the schema echoes; and then not all of a long one."""
    value = {"income": "s3cret" * 100}

    assert "s3cret" not in str(refused(GOOD | value).details)
    shown = refused(GOOD | value, SCHEMA.reading(echo=True)).errors["income"]
    assert shown.startswith("must be a number, not 's3cret")
    assert len(shown) < 100


def test_a_schema_may_keep_itself_to_itself():
    """The caller is told that the input is wrong; the program what is."""
    error = refused({"age": 7}, SCHEMA.reading(reveal=False))

    assert ("Invalid input data", {}) == (error.message, error.details)
    assert ["income", "beds", "plan", "city"] == error.missing_columns


@pytest.mark.parametrize(
    ("policy", "status", "warnings"),
    [
        ("refuse", 400, None),
        ("warn", 200, ["plan has values the model was not trained with"]),
        ("accept", 200, None),
    ],
)
def test_unknown_levels(policy, status, warnings):
    """Refused, let pass with a word in the answer, or let pass."""
    gate = Gate(keys="open")
    schema = Schema.of(plan=["free", "pro"]).reading(unknown_levels=policy)

    @gate.handler("plans", schema=schema)
    def plans(table):
        return table["plan"].tolist()

    for app in (gate.wsgi, gate.asgi):
        answer = Client(app).post("/api/predict", json={"input_data": {"plan": "gold"}})
        known = Client(app).post("/api/predict", json={"input_data": {"plan": "pro"}})

        assert (status, warnings) == (answer.status, answer.json().get("warnings"))
        assert {"predictions": ["pro"]} == known.json()


def test_defaults():
    """A column that was not sent is its default, whichever way the rows come."""
    schema = Schema([Column("a", default=1.5), Column("b", "text", default="x"), Column("c", required=False)])
    for rows in (b"{}", {"a": 1.5}, b'[{"b": "x"}]'):
        assert [{"a": 1.5, "b": "x", "c": None}] == schema.read(rows).rows()


def test_nan():
    """NaN in Python values is a null, unless it is to be refused."""
    schema = Schema([Column("a", nullable=True)])

    assert [{"a": None}] == schema.read({"a": float("nan")}).rows()
    refused({"a": float("nan")}, schema.reading(nan="refuse"))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Column("a", minimum=3, maximum=2), "minimum=3"),
        (lambda: Column("a", "text", minimum=3), "minimum=3"),
        (lambda: Column("a", maximum=float("nan")), "maximum=nan"),
        (lambda: Column("a", maximum=True), "maximum=True"),
        (lambda: Column("a", pattern="x"), "pattern"),
        (lambda: Column("a", "text", pattern="("), "regular expression"),
        (lambda: Column("a", "text", max_length=0), "max_length"),
        (lambda: Column("a", "integer", max_length=3), "max_length"),
        (lambda: Column("a", maximum=3, default=4), "default=4.*of at most 3"),
        (lambda: Column("a", levels=("x",)), "levels='x'"),
        (lambda: Column("a", "text", levels=()), "levels"),
        (lambda: Column("a", "date"), "kind='date'.*number, integer"),
        (lambda: SCHEMA.reading(extra="maybe"), "extra='maybe'.*ignore, forbid"),
        (lambda: SCHEMA.reading(unknown_levels="drop"), "unknown_levels"),
        (lambda: SCHEMA.reading(nan=None), "nan"),
        (lambda: SCHEMA.reading(lenient="yes"), "lenient"),
        (lambda: SCHEMA.reading(strict=True), "strict: accepts the options extra, lenient"),
    ],
)
def test_refuses(make, told):
    """A rule that cannot be is refused when it is made, with the column and the option."""
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_near_names_have_a_bound(monkeypatch):
    """Of many names few are compared, and long ones never: a refusal must not cost what a prediction does."""
    compared = []

    def close(name, names, **options):
        compared.extend((name, other) for other in names)
        return []

    monkeypatch.setattr("difflib.get_close_matches", close)
    schema = Schema([Column(f"column-{at}") for at in range(300)] + [Column("n" * 100)])
    refused({f"colunm-{at}" + "m" * (at % 2 * 100): "x" for at in range(300)}, schema)

    assert 0 < len(compared) <= 100
    assert all(len(name) <= 60 and len(other) <= 60 for name, other in compared)


@pytest.mark.parametrize(
    "columns",
    [[Column("a", required=False)], [Column("a", default=1.0), Column("b", "text", required=False)]],
)
def test_a_small_body_becomes_no_large_table(columns):
    """Ten thousand times {} of thousands of columns is refused before it is made."""
    wide = Schema(columns + [Column(f"c{at}", required=False) for at in range(1000)])
    with pytest.raises(InvalidInput, match="mostly left out"):
        wide.read(b"[" + b",".join([b"{}"] * 10_000) + b"]", 10_000)

    assert 100 == len(wide.read(b"[" + b",".join([b"{}"] * 100) + b"]", 10_000))


@pytest.mark.parametrize("name", [0, ("a", "b"), None])
def test_names_are_text(name):
    """A DataFrame with numbered columns is told what to do."""
    with pytest.raises(InvalidInput, match="name columns in text, or send an array"):
        SCHEMA.read([{name: 1}])


@pytest.mark.parametrize("value", [np.array([1, 2]), np.zeros((2, 2)), [1], {"a": 1}, object()])
def test_a_cell_is_a_single_value(value):
    """Whatever else stands in a cell breaks its rule, and nothing else."""
    assert {"age"} == set(refused([GOOD | {"age": value}]).errors)


def test_true_is_no_level_of_numbers():
    """Though it is 1 to Python."""
    schema = Schema([Column("a", "any", levels=(1, 2))])

    assert [{"a": 1}] == schema.read(b'{"a": 1}').rows()
    refused(b'{"a": true}', schema)
    refused({"a": True}, schema)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"nullable": "false"}, "nullable='false'"),
        ({"required": 1}, "required=1"),
        ({"description": 5}, "description=5"),
        ({"seen": 5}, "seen=5"),
        ({"kind": "integer", "minimum": 2.5, "maximum": 2.6}, "a whole number between"),
        ({"kind": "integer", "minimum": 2**60}, "a whole number between"),
        ({"seen": (1.0,)}, "seen"),
        ({"typical": float("nan")}, "nan"),
        ({"levels": 5}, "levels=5"),
        ({"kind": "text", "levels": "abc"}, "levels='abc'"),
        ({"kind": "text", "pattern": b"x"}, "pattern"),
    ],
)
def test_an_entry_of_another_type_is_refused(options, told):
    """It would mean something else: "false" is true."""
    with pytest.raises(ConfigurationError, match=told):
        Column("a", **options)


def test_columns_are_columns():
    """A schema is made of nothing else."""
    with pytest.raises(ConfigurationError, match="accepts a Column"):
        Schema(["a"])
