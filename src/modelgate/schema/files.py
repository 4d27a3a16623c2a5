"""Schemas in files that a person can edit: TOML or JSON.

TOML reads ``[[column]]`` tables, one a column, below the options of the schema as a whole::

    extra = "forbid"

    [[column]]
    name = "age"
    minimum = 18
"""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .columns import Column
from .policy import Policy

__all__ = ["parse", "plain", "read_file", "write_file"]

_COLUMN = {option.name: option.default for option in fields(Column) if option.init}
_POLICY = {option.name: option.default for option in fields(Policy)}


def plain(columns: Sequence[Column], policy: Policy) -> dict[str, Any]:
    """What differs from the defaults, as values that TOML and JSON can hold."""
    told = {name: value for name in _POLICY if (value := getattr(policy, name)) != _POLICY[name]}
    return {**told, "column": [_plain_column(column) for column in columns]}


def _plain_column(column: Column) -> dict[str, Any]:
    told: dict[str, Any] = {"name": column.name, "kind": column.kind}
    for name in list(_COLUMN)[2:]:
        value = getattr(column, name)
        implied = name == "required" and column.default is not None
        if value != _COLUMN[name] and not implied:
            told[name] = list(value) if isinstance(value, tuple) else value
    return told


def parse(told: Mapping[str, Any]) -> tuple[list[Column], Policy]:
    """The columns and the policy that *told* means: the inverse of `plain`.

    Raises:
        ConfigurationError: an entry is unknown or wrong; it is named.
    """
    columns = told.get("column")
    if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns):
        raise ConfigurationError("column: accepts a list of tables, one a column")
    unknown = told.keys() - _POLICY.keys() - {"column"}
    if unknown:
        raise ConfigurationError(f"{min(unknown)}: accepts the options {', '.join(_POLICY)}")
    policy = Policy(**{name: value for name, value in told.items() if name != "column"})
    return [_parse_column(at, column) for at, column in enumerate(columns)], policy


def _parse_column(at: int, told: Mapping[str, Any]) -> Column:
    name = told.get("name", f"number {at}")
    unknown = told.keys() - _COLUMN.keys()
    if unknown:
        raise ConfigurationError(f"column {name!r}: {min(unknown)}: accepts {', '.join(_COLUMN)}")
    for option in ("levels", "seen"):
        if not isinstance(told.get(option, []), list):
            raise ConfigurationError(f"column {name!r}: {option}: accepts a list")
    if told.get("required") is True and "default" in told:
        raise ConfigurationError(f"column {name!r}: required: accepts false where there is a default")
    lists = {option: tuple(value) for option, value in told.items() if isinstance(value, list)}
    return Column(**{"name": "", **told, **lists})


def read_file(path: str | Path) -> tuple[list[Column], Policy]:
    """The columns and the policy in the file *path*, ``.toml`` or ``.json``.

    Raises:
        ConfigurationError: it cannot be read; the fault and its place are named.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise ConfigurationError(f"schema={str(path)!r}: accepts files ending in .toml or .json")
    try:
        told = reader(path.read_text("utf-8"))
        return parse(told if isinstance(told, dict) else {})
    except (ConfigurationError, OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"schema={str(path)!r}: {error}") from None


def write_file(path: str | Path, columns: Sequence[Column], policy: Policy) -> None:
    """Write the file *path*, ``.toml`` or ``.json``, whole or not at all.

    Raises:
        ConfigurationError: it has another ending, or cannot be written.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ConfigurationError(f"schema={str(path)!r}: accepts files ending in .toml or .json")
    told = plain(columns, policy)
    text = json.dumps(told, indent=2, ensure_ascii=False) if path.suffix == ".json" else _toml(told)
    unfinished = path.with_name(path.name + ".new")
    try:
        content = (text.rstrip() + "\n").encode()
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"schema={str(path)!r}: {error}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ConfigurationError("an entry stands twice in one object")
    return dict(pairs)


_READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": partial(json.loads, object_pairs_hook=_distinct),
}


def _toml(told: Mapping[str, Any]) -> str:
    tables = ["\n".join(f"{name} = {_literal(value)}" for name, value in told.items() if name != "column")]
    for column in told["column"]:
        lines = [f"{name} = {_literal(value)}" for name, value in column.items()]
        tables.append("\n".join(["[[column]]", *lines]))
    return "\n\n".join(table for table in tables if table)


def _literal(value: Any) -> str:
    # What JSON writes of text, numbers, booleans and lists is TOML too, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
