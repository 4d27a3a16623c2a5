"""Short forms of column definitions: a Python type, the name of a kind, or a list of levels."""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, get_args

from ..errors import ConfigurationError
from .columns import Column, Kind, Level
from .images import ImageSpec

__all__ = ["ColumnSpec", "create_column", "override_column"]

ColumnSpec: TypeAlias = type | str | Sequence[Level] | ImageSpec | Column
"""Short form of a column: a type, the name of a kind, a list of levels, an `ImageSpec`, or a `Column`.

The types are ``float``, ``int``, ``bool``, ``str`` and ``datetime.datetime``.
"""

_KINDS: dict[type, Kind] = {
    float: "number",
    int: "integer",
    bool: "boolean",
    str: "text",
    datetime.datetime: "datetime",
}


def create_column(name: str, spec: ColumnSpec) -> Column:
    """Create the column *name* from *spec*.

    Raises:
        ConfigurationError: *spec* is not a `ColumnSpec`.
    """
    if isinstance(spec, Column):
        return replace(spec, name=name)
    if isinstance(spec, ImageSpec):
        return Column(name, "image", image=spec)
    if isinstance(spec, str) and spec in get_args(Kind):
        return Column(name, spec)  # type: ignore[arg-type]
    if isinstance(spec, type) and spec in _KINDS:
        return Column(name, _KINDS[spec])
    if isinstance(spec, Sequence) and not isinstance(spec, str) and spec:
        kinds = {_KINDS.get(type(level)) for level in spec}
        kind = "number" if kinds == {"number", "integer"} else kinds.pop() if len(kinds) == 1 else None
        if kind is not None:
            return Column(name, kind, tuple(spec))
    raise ConfigurationError(
        f"column {name!r} must be one of {', '.join(type_.__name__ for type_ in _KINDS)}, the name of a kind"
        f" ({', '.join(get_args(Kind))}), a list of values of one type, an ImageSpec, or a Column (got {spec!r})"
    )


def override_column(column: Column, spec: ColumnSpec) -> Column:
    """Return the column that *spec* describes, with the name of *column*.

    If *spec* is not a `Column`, the result also has the *required*, *nullable* and *description* of *column*.
    """
    created = create_column(column.name, spec)
    if isinstance(spec, Column):
        return created
    return replace(
        created, required=column.required, nullable=column.nullable, description=column.description
    )
