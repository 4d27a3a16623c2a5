"""Schema files in TOML and JSON."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import Column, ConfigurationError, Schema
from modelgate.schema.schema_file import schema_from_dict, schema_to_dict

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


def test_load_reads_toml_written_by_hand(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(EDITED, "utf-8")
    schema = Schema.load(path)

    assert "forbid" == schema.options.extra_columns
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
        typical_value=st.one_of(st.none(), NUMBERS),
        observed_range=st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple)),
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
def test_load_restores_any_saved_schema(tmp_path_factory, columns, lenient):
    schema = Schema(columns).with_options(coerce_strings=lenient)
    for name in ("schema.toml", "schema.json"):
        path = tmp_path_factory.mktemp("files") / name
        schema.save(path)
        read = Schema.load(path)

        assert (schema.columns, schema.options) == (read.columns, read.options)


def test_plain_omits_default_values():
    schema = Schema([Column("a"), Column("b", "text", default="x")])

    assert {
        "column": [{"name": "a", "kind": "number"}, {"name": "b", "kind": "text", "default": "x"}]
    } == schema_to_dict(schema.columns, schema.options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'column' must be an array of TOML tables"),
        ("column = 3", "'column' must be an array of TOML tables"),
        ("column = [3]", "'column' must be an array of TOML tables"),
        ("[[column]]", "column name must be.*got ''"),
        (
            '[[column]]\nname = "a"\nmaximun = 3',
            "column 'a': option must be one of name, kind.*got 'maximun'",
        ),
        ('[[column]]\nname = "a"\n[[column]]\nmaximun = 3', "column 'number 2': option must be one of"),
        ('[[column]]\nname = "a"\nlevels = "x"', "column 'a': levels must be a list"),
        ('[[column]]\nname = "a"\nkind = "date"', "kind must be one of.*got 'date'"),
        ('[[column]]\nname = "a"\nminimum = nan', "minimum must be.*got nan"),
        (
            '[[column]]\nname = "a"\nrequired = true\ndefault = 3',
            "'a': required must be false for a column with a default",
        ),
        ('extras = "forbid"\n[[column]]\nname = "a"', "option must be one of extra, .*got 'extras'"),
        ('extra = 3\n[[column]]\nname = "a"', "extra_columns must be one of.*got 3"),
        ('[[column]\nname = "a"', "line 1"),
    ],
)
def test_load_error_names_file_and_entry(tmp_path, text, message):
    path = tmp_path / "schema.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=message) as info:
        Schema.load(path)

    assert "schema.toml" in str(info.value)


@pytest.mark.parametrize("name", ["schema.yaml", "schema", "missing.toml"])
def test_load_rejects_other_and_missing_files(tmp_path, name):
    with pytest.raises(ConfigurationError, match=name):
        Schema.load(tmp_path / name)


def test_save_rejects_other_endings(tmp_path):
    with pytest.raises(ConfigurationError, match=r"\.toml or \.json"):
        Schema.of(a=float).save(tmp_path / "schema.yaml")


def test_save_rejects_a_missing_folder(tmp_path):
    with pytest.raises(ConfigurationError, match=r"schema\.toml"):
        Schema.of(a=float).save(tmp_path / "no" / "schema.toml")


@pytest.mark.parametrize("name", ["schema.toml", "schema.json"])
def test_save_keeps_the_existing_file_on_errors(tmp_path, name):
    """A lone surrogate cannot be encoded as UTF-8."""
    path = tmp_path / name
    Schema.of(a=float).save(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=name):
        Schema([Column("a", description="\ud800")]).save(path)

    assert (before, [path]) == (path.read_bytes(), list(tmp_path.iterdir()))


def test_parse_restores_numbers_to_the_last_bit():
    schema = Schema([Column("a", minimum=0.1, maximum=math.nextafter(0.3, 1))])
    columns, _ = schema_from_dict(schema_to_dict(schema.columns, schema.options))

    assert schema.columns == tuple(columns)


def test_load_rejects_duplicate_json_keys(tmp_path):
    """json.loads would use the last one."""
    (tmp_path / "schema.json").write_text('{"column": [{"name": "a", "nullable": true, "nullable": false}]}')
    with pytest.raises(ConfigurationError, match="the names in an object must differ"):
        Schema.load(tmp_path / "schema.json")
