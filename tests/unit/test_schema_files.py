"""Schemas in files that a person can edit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import Column, ConfigurationError, Schema
from modelgate.schema.files import parse, plain

EDITED = """
extra = "forbid"

[[column]]
name = "age"
kind = "integer"
minimum = 18            # by law
description = "in \\u00e9t\\u00e9"

[[column]]
name = "plan"
kind = "text"
levels = ["free", "pro"]
nullable = true
"""


def test_a_file_is_read(tmp_path):
    """What a person writes in TOML is the schema it says."""
    path = tmp_path / "schema.toml"
    path.write_text(EDITED, "utf-8")
    schema = Schema.load(path)

    assert "forbid" == schema.policy.extra
    assert (
        Column("age", "integer", minimum=18, description="in été"),
        Column("plan", "text", levels=("free", "pro"), nullable=True),
    ) == schema.columns


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COLUMNS = st.one_of(
    st.builds(
        Column,
        NAMES,
        st.just("number"),
        nullable=st.booleans(),
        minimum=st.one_of(st.none(), NUMBERS),
        typical=st.one_of(st.none(), NUMBERS),
        seen=st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple)),
        description=NAMES,
    ),
    st.builds(
        Column,
        NAMES,
        st.just("text"),
        levels=st.one_of(st.none(), st.lists(NAMES, min_size=1).map(tuple)),
        required=st.booleans(),
    ),
    st.builds(Column, NAMES, st.just("text"), default=NAMES),
    st.builds(Column, NAMES, st.just("boolean"), levels=st.just((True,))),
    st.builds(Column, NAMES, st.just("integer"), levels=st.just((1, 2)), default=st.just(2)),
)


@given(st.lists(COLUMNS, min_size=1, max_size=4, unique_by=lambda column: column.name), st.booleans())
def test_what_is_written_is_read(tmp_path_factory, columns, lenient):
    """Any schema survives both kinds of file."""
    schema = Schema(columns).reading(lenient=lenient)
    for name in ("schema.toml", "schema.json"):
        path = tmp_path_factory.mktemp("files") / name
        schema.save(path)
        read = Schema.load(path)

        assert (schema.columns, schema.policy) == (read.columns, read.policy)


def test_only_what_differs_is_written():
    """A file is short: what is as it always is, is left out."""
    schema = Schema([Column("a"), Column("b", "text", default="x")])

    assert {
        "column": [{"name": "a", "kind": "number"}, {"name": "b", "kind": "text", "default": "x"}]
    } == plain(schema.columns, schema.policy)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "column: accepts a list"),
        ("column = 3", "column: accepts a list"),
        ("column = [3]", "column: accepts a list"),
        ("[[column]]", "column name=''"),
        ('[[column]]\nname = "a"\nmaximun = 3', "column 'a': maximun: accepts name, kind"),
        ('[[column]]\nname = "a"\nlevels = "x"', "column 'a': levels: accepts a list"),
        ('[[column]]\nname = "a"\nkind = "date"', "kind='date'"),
        ('[[column]]\nname = "a"\nminimum = nan', "minimum=nan"),
        ('[[column]]\nname = "a"\nrequired = true\ndefault = 3', "'a': required: accepts false where there"),
        ('extras = "forbid"\n[[column]]\nname = "a"', "extras: accepts the options extra"),
        ('extra = 3\n[[column]]\nname = "a"', "extra=3"),
        ('[[column]\nname = "a"', "line 1"),
    ],
)
def test_a_fault_is_named(tmp_path, text, told):
    """The file, the entry and what it accepts."""
    path = tmp_path / "schema.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=told) as info:
        Schema.load(path)

    assert "schema.toml" in str(info.value)


@pytest.mark.parametrize("name", ["schema.yaml", "schema", "missing.toml"])
def test_other_files(tmp_path, name):
    """What is no TOML or JSON file is refused by name."""
    with pytest.raises(ConfigurationError, match=name):
        Schema.load(tmp_path / name)


def test_other_endings_are_not_written(tmp_path):
    """A schema is written as TOML or JSON."""
    with pytest.raises(ConfigurationError, match=r"\.toml or \.json"):
        Schema.of(a=float).save(tmp_path / "schema.yaml")


def test_a_folder_that_is_not_there(tmp_path):
    """What cannot be written is told as the file at fault."""
    with pytest.raises(ConfigurationError, match=r"schema\.toml"):
        Schema.of(a=float).save(tmp_path / "no" / "schema.toml")


@pytest.mark.parametrize("name", ["schema.toml", "schema.json"])
def test_what_cannot_be_written_leaves_the_file_that_is_there(tmp_path, name):
    """Half a surrogate pair is no text of UTF-8."""
    path = tmp_path / name
    Schema.of(a=float).save(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=name):
        Schema([Column("a", description="\ud800")]).save(path)

    assert (before, [path]) == (path.read_bytes(), list(tmp_path.iterdir()))


def test_numbers_survive_to_the_last_bit():
    """Bounds are written as they are."""
    schema = Schema([Column("a", minimum=0.1, maximum=math.nextafter(0.3, 1))])
    columns, _ = parse(plain(schema.columns, schema.policy))

    assert schema.columns == tuple(columns)


def test_an_entry_that_stands_twice(tmp_path):
    """In JSON too, where the last one would win."""
    (tmp_path / "schema.json").write_text('{"column": [{"name": "a", "nullable": true, "nullable": false}]}')
    with pytest.raises(ConfigurationError, match="twice"):
        Schema.load(tmp_path / "schema.json")
