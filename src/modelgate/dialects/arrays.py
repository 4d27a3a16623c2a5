"""Rows that JSON says in arrays: by place, by column, or of one value each."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import InvalidInput
from ..http.strict_json import decode_json, refuse_duplicate_names
from ..schema import Split

__all__ = ["by_column", "holds_values", "listed", "one_row"]

_LISTS: "msgspec.json.Decoder[Sequence[Sequence[Any]]]" = msgspec.json.Decoder(list[list[Any]])
_LIST: "msgspec.json.Decoder[Sequence[Any]]" = msgspec.json.Decoder(list[Any])
_COLUMNS: "msgspec.json.Decoder[dict[str, Sequence[Any]]]" = msgspec.json.Decoder(dict[str, list[Any]])
_ARRAY = re.compile(rb"\[[ \t\r\n]*(.)", re.DOTALL)


def holds_values(raw: bytes) -> bool:
    """Whether *raw* is an array that begins with a value: neither a row nor its end."""
    begin = _ARRAY.match(raw)
    return begin is not None and begin[1] not in (b"{", b"[", b"]")


def one_row(raw: bytes) -> Split:
    """The row of an array of values in the schema's order. Raises `MalformedBody` where it is none."""
    return Split(None, [decode_json(raw, _LIST)])


def listed(raw: bytes) -> bytes | Split:
    """The rows of an array: objects stay as they are, arrays are in the schema's order, and a value
    is a row of a model with one column.

    Raises:
        MalformedBody: an item is of another kind than the first.
    """
    if holds_values(raw):
        return Split(None, [[value] for value in decode_json(raw, _LIST)])
    begin = _ARRAY.match(raw)
    return Split(None, decode_json(raw, _LISTS)) if begin is not None and begin[1] == b"[" else raw


def by_column(raw: bytes) -> Split:
    """The rows of an object that has an array for each column.

    Raises:
        MalformedBody: it is none, or names a column twice.
        InvalidInput: the columns have different lengths, or there are none.
    """
    columns = decode_json(raw, _COLUMNS)
    refuse_duplicate_names(raw, len(columns))
    if len({len(values) for values in columns.values()}) != 1:
        raise InvalidInput("inputs must be an object of arrays, one for each column, all of one length")
    return Split(list(columns), list(zip(*columns.values(), strict=True)))
