"""Rows sent as JSON arrays, not as objects: an array of values per row, or a plain value per row."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ..codecs.json import decode_json
from ..schema import SplitRows

__all__ = ["row_from_values", "rows_from_array", "starts_with_value"]

_LISTS: "msgspec.json.Decoder[Sequence[Sequence[Any]]]" = msgspec.json.Decoder(list[list[Any]])
_LIST: "msgspec.json.Decoder[Sequence[Any]]" = msgspec.json.Decoder(list[Any])
_ARRAY = re.compile(rb"\[[ \t\r\n]*(.)", re.DOTALL)


def starts_with_value(raw: bytes) -> bool:
    """Return True if *raw* is an array whose first item is a plain value, not an object or array."""
    match = _ARRAY.match(raw)
    return match is not None and match[1] not in (b"{", b"[", b"]")


def row_from_values(raw: bytes) -> SplitRows:
    """Decode an array of values in the schema's order as one row.

    Raises:
        MalformedBody: *raw* is not a JSON array.
    """
    return SplitRows(None, [decode_json(raw, _LIST)])


def rows_from_array(raw: bytes) -> bytes | SplitRows:
    """Decode an array with one item per row.

    If the first item is an array, every item is a row with its values in the schema's order. If it is a
    plain value, every item is a row of a model with one column. Anything else, such as an array of
    objects, is returned undecoded.

    Raises:
        MalformedBody: *raw* is not valid JSON, or its first item is an array and another item is not.
    """
    if starts_with_value(raw):
        return SplitRows(None, [[value] for value in decode_json(raw, _LIST)])
    match = _ARRAY.match(raw)
    return SplitRows(None, decode_json(raw, _LISTS)) if match is not None and match[1] == b"[" else raw
