"""Write columns as JSON, one value per row, without creating Python objects for the rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["Constant", "JSONColumns", "encode_rows"]

_PLAIN_TYPES = frozenset({float, int, bool, type(None)})
"""Types that JSON writes without commas."""


@dataclass(slots=True)
class Constant:
    """Column with the same value in all rows."""

    value: Any


JSONColumns: TypeAlias = (
    "dict[str, JSONColumns] | tuple[JSONColumns, ...] | Constant | npt.NDArray[Any] | Sequence[Any]"
)
"""Columns of rows. A dictionary stands for an object per row, and a tuple for an array per row.

Any other sequence has one value for each row: a Python value, or raw JSON (`msgspec.Raw`).
"""


def encode_rows(columns: JSONColumns, separator: bytes = b",") -> bytes:
    """Return the JSON of each row, joined by *separator*.

    The result equals the output of msgspec for rows of dictionaries and lists. From about 30 rows on, this
    function is faster, because it formats all values of a column at once. For thousands of rows, it is six
    times as fast.

    Args:
        columns: Columns of the rows. At least one must not be a `Constant`.
        separator: ASCII text between two rows.

    Raises:
        UnicodeEncodeError: A text contains lone surrogates, which UTF-8 cannot encode.
    """
    cells: list[Iterable[str]] = []
    template = _create_template(columns, cells)
    return separator.decode().join(map(template.__mod__, zip(*cells, strict=True))).encode("latin-1")


def _create_template(columns: JSONColumns, cells: list[Iterable[str]]) -> str:
    """Return the JSON of a row as a template for the operator ``%``.

    For each placeholder in the template, the values of all rows are appended to *cells*. The template and the
    values are UTF-8 bytes decoded as Latin-1, with one character for each byte. So raw JSON is not changed,
    and joining the texts is fast.
    """
    if isinstance(columns, Constant):
        return _encode(columns.value).replace("%", "%%")
    if isinstance(columns, dict):
        members = [
            _encode(name).replace("%", "%%") + ":" + _create_template(column, cells)
            for name, column in columns.items()
        ]
        return "{" + ",".join(members) + "}"
    if isinstance(columns, tuple):
        return "[" + ",".join([_create_template(column, cells) for column in columns]) + "]"
    cells.append(_format_values(columns))
    return "%s"


def _format_values(values: npt.NDArray[Any] | Sequence[Any]) -> Iterable[str]:
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    types = set(map(type, plain))
    if types <= _PLAIN_TYPES:
        return _encode(plain)[1:-1].split(",") if plain else []
    if types == {str}:
        # Usually labels, with few distinct values: encode each value once.
        texts = {value: _encode(value) for value in set(plain)}
        return map(texts.__getitem__, plain)
    return map(_encode, plain)


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode("latin-1")
