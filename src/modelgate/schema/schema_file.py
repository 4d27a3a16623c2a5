"""Schema files in TOML or JSON, which can be edited by hand.

In TOML the options of the schema come first, followed by one ``[[column]]`` table per column::

    extra = "forbid"

    [[column]]
    name = "age"
    minimum = 18
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..codecs.config_file import config_errors, read_config, write_config
from ..errors import ConfigurationError
from .columns import Column
from .images import ImageSpec
from .schema_options import SchemaOptions

__all__ = ["read_file", "schema_from_dict", "schema_to_dict", "write_file"]

_FILE_NAMES = {
    "typical_value": "typical",
    "observed_range": "seen",
    "extra_columns": "extra",
    "coerce_strings": "lenient",
    "echo_values": "echo",
    "show_schema": "reveal",
}
"""Keys of a schema file that differ from the name of the attribute, by attribute."""

_COLUMN_KEYS = {_FILE_NAMES.get(option.name, option.name): option for option in fields(Column) if option.init}
_SCHEMA_KEYS = {_FILE_NAMES.get(option.name, option.name): option for option in fields(SchemaOptions)}


def schema_to_dict(columns: Sequence[Column], options: SchemaOptions) -> dict[str, Any]:
    """Return the content of a schema file. Values equal to their default are left out."""
    content = {
        key: value
        for key, option in _SCHEMA_KEYS.items()
        if (value := getattr(options, option.name)) != option.default
    }
    return {**content, "column": [_column_table(column) for column in columns]}


def _column_table(column: Column) -> dict[str, Any]:
    table: dict[str, Any] = {"name": column.name, "kind": column.kind}
    for key, option in list(_COLUMN_KEYS.items())[2:]:
        value = getattr(column, option.name)
        implied = key == "required" and column.default is not None
        if value != option.default and not implied:
            table[key] = _plain_value(value)
    return table


def _plain_value(value: Any) -> Any:
    if isinstance(value, ImageSpec):
        options = {option.name: getattr(value, option.name) for option in fields(value)}
        changed = {option.name for option in fields(value) if options[option.name] != option.default}
        return {name: _plain_value(options[name]) for name in options if name in changed}
    return list(value) if isinstance(value, tuple) else value


def schema_from_dict(content: Mapping[str, Any]) -> tuple[list[Column], SchemaOptions]:
    """Return the columns and options in the content of a schema file.

    This is the inverse of `schema_to_dict`.

    Raises:
        ConfigurationError: A key is unknown or has an invalid value.
    """
    columns = content.get("column")
    if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns):
        raise ConfigurationError(
            "'column' must be an array of TOML tables: write one [[column]] section for each column"
        )
    unknown = content.keys() - _SCHEMA_KEYS.keys() - {"column"}
    if unknown:
        raise ConfigurationError(f"option must be one of {', '.join(_SCHEMA_KEYS)} (got {min(unknown)!r})")
    options = SchemaOptions(
        **{_SCHEMA_KEYS[key].name: value for key, value in content.items() if key != "column"}
    )
    return [_parse_column(number, table) for number, table in enumerate(columns, 1)], options


def _parse_column(number: int, table: Mapping[str, Any]) -> Column:
    name = table.get("name", f"number {number}")
    unknown = table.keys() - _COLUMN_KEYS.keys()
    if unknown:
        raise ConfigurationError(
            f"column {name!r}: option must be one of {', '.join(_COLUMN_KEYS)} (got {min(unknown)!r})"
        )
    for key in ("levels", "seen"):
        if not isinstance(table.get(key, []), list):
            raise ConfigurationError(f"column {name!r}: {key} must be a list (got {table[key]!r})")
    if table.get("required") is True and "default" in table:
        raise ConfigurationError(
            f"column {name!r}: required must be false for a column with a default (got true)"
        )
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    return Column(
        **{"name": "", **{_COLUMN_KEYS[key].name: value for key, value in {**table, **lists}.items()}}
    )


def read_file(path: str | Path) -> tuple[list[Column], SchemaOptions]:
    """Read the columns and options from a ``.toml`` or ``.json`` file.

    Raises:
        ConfigurationError: The file cannot be read. The message includes the position of the error.
    """
    content = read_config("schema", path)
    with config_errors("schema", path):
        return schema_from_dict(content)


def write_file(path: str | Path, columns: Sequence[Column], options: SchemaOptions) -> None:
    """Write a ``.toml`` or ``.json`` schema file atomically.

    Raises:
        ConfigurationError: *path* has a different ending, or cannot be written.
    """
    write_config("schema", path, schema_to_dict(columns, options))
