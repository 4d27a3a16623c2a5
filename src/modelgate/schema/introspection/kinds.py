"""Infer column kinds from values or from the name of a dtype."""

from collections.abc import Sequence
from typing import Any

from ...errors import ConfigurationError
from ..coerce import to_json_value
from ..columns import EXACT, Kind

__all__ = ["infer_kind", "kind_of_dtype", "to_level", "unsupported_column"]


def to_level(name: Any, value: Any) -> Any:
    """Convert *value* to text, a boolean or a number.

    Args:
        name: Column name, for the error message.
        value: Value of Python, numpy, pandas or polars.

    Raises:
        ConfigurationError: The value has an unsupported type.
    """
    value = to_json_value(value)
    if isinstance(value, str | bool | int | float):
        return value
    raise unsupported_column(name, f"values of the type {type(value).__name__}")


def infer_kind(values: Sequence[Any]) -> Kind:
    """Return the kind of a column that holds *values*."""
    types = {type(value) for value in values}
    if any(type(value) is int and abs(value) > EXACT for value in values):
        # float64, used for numbers, would round it.
        return "any"
    if types <= {int, float}:
        return "integer" if types == {int} else "number"
    if types == {bool}:
        return "boolean"
    return "text" if all(issubclass(kind, str) for kind in types) else "any"


_DTYPE_PREFIXES: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("float", "double", "decimal"), "number"),
    (("int", "uint", "long"), "integer"),
    (("bool",), "boolean"),
    (("date",), "datetime"),
    (("str", "string", "utf8", "time"), "text"),
    (("object", "category", "categorical", "enum", "null", "none"), "any"),
)


def kind_of_dtype(name: Any, dtype: str) -> Kind:
    """Return the kind of a column from the name of its dtype.

    Args:
        name: Column name, for the error message.
        dtype: Name as in numpy, pandas, polars or pandera.

    Raises:
        ConfigurationError: The dtype is unknown, or JSON cannot represent its values.
    """
    lower = dtype.lower()
    if not lower.startswith("timedelta"):
        for prefixes, kind in _DTYPE_PREFIXES:
            if lower.startswith(prefixes):
                return kind
    raise unsupported_column(name, f"the type {dtype}")


def unsupported_column(name: Any, what: str) -> ConfigurationError:
    """Return the error for a column that cannot be converted.

    Args:
        name: Column name.
        what: Unsupported property of the column, such as its type.
    """
    return ConfigurationError(f"column {name!r}: {what} cannot be converted: define this Column by hand")
