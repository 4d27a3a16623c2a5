"""Decode rows that are sent as JSON arrays instead of objects: an array of values or a plain value per row."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from ..codecs.json import LARGE, decode_json
from ..codecs.json_items import count_items
from ..schema import LazyRows, SplitRows

__all__ = ["decode_lists", "row_from_values", "rows_from_array", "starts_with_value"]

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

    If the first item is an array, every item is a row with its values in the schema's order. If it is a plain
    value, every item is a row of a model with one column. Any other body, such as an array of objects, is
    returned undecoded.

    Raises:
        MalformedBody: *raw* is not valid JSON, or its first item is an array but another item is not.
    """
    if starts_with_value(raw):
        return SplitRows(None, _decode_rows(raw, _decode_values))
    match = _ARRAY.match(raw)
    return SplitRows(None, decode_lists(raw)) if match is not None and match[1] == b"[" else raw


def decode_lists(raw: bytes | msgspec.Raw) -> Sequence[Sequence[Any]]:
    """Decode an array of arrays, each of which is a row. A large array is decoded when its first row is used.

    Raises:
        MalformedBody: *raw* is not an array of arrays. For a large array, the error is raised when its first
            row is used.
    """
    return _decode_rows(bytes(raw), partial(decode_json, decoder=_LISTS))


def _decode_rows(raw: bytes, decode: Callable[[bytes], Sequence[Sequence[Any]]]) -> Sequence[Sequence[Any]]:
    # As Python objects, rows can take 40 times the memory of their JSON. Count them before they are decoded,
    # so that a request with too many rows is rejected first.
    return LazyRows(count_items(raw), partial(decode, raw)) if len(raw) > LARGE else decode(raw)


def _decode_values(raw: bytes) -> list[list[Any]]:
    return [[value] for value in decode_json(raw, _LIST)]
