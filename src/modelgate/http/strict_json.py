"""JSON read strictly: any bytes give a value or a `MalformedBody` that says why and where.

msgspec is strict about syntax and numbers (no NaN, no 1e400) and lenient in three things that a
gate cannot be: it lets RecursionError and UnicodeDecodeError through, it takes duplicate names (the
last one wins), and it skips a value nobody asked for however deep it is.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np

from ..errors import MalformedBody

__all__ = [
    "ANY",
    "LARGE",
    "MAX_DEPTH",
    "check_members",
    "decode_json",
    "decode_loosely",
    "occurrences",
    "refuse_deep_nesting",
    "refuse_duplicate_names",
]

T = TypeVar("T")

LARGE = 64 * 1024
"""From how many bytes on JSON is no work for an event loop: the slow checks of a MiB take 20 ms."""

_FEW = 8192
_DIGITS = 400

ANY: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder()
"""Decodes whatever is there."""

MAX_DEPTH = 32
"""How deeply arrays and objects may nest in a value that is not used."""


def decode_json(raw: bytes | msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode *raw*, a whole body or a part of one.

    Raises:
        MalformedBody: it cannot be decoded.
    """
    if not raw:
        raise MalformedBody("The body is empty: send a JSON object")
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"The JSON body has the wrong shape: {error}") from None
    except msgspec.DecodeError as error:
        raise MalformedBody(f"The body is not valid JSON: {error}") from None
    except (RecursionError, ValueError, MemoryError) as error:
        raise MalformedBody(f"The body is not readable as JSON: {_why(error)}") from None


def decode_loosely(raw: bytes) -> tuple[Any, MalformedBody | None]:
    """The value of *raw*, and what is wrong with it where that is a number alone: infinity stands for it.

    Raises:
        MalformedBody: something else is wrong.
    """
    try:
        return decode_json(raw, ANY), None
    except MalformedBody as error:
        # To ANY the only wrong shape is a number beyond the largest float.
        if not isinstance(error.__context__, msgspec.ValidationError):
            raise
        try:
            return json.loads(raw.decode(), parse_int=_whole, parse_constant=_no_number), error
        except (RecursionError, ValueError):
            raise error from None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)


def _no_number(name: str) -> None:
    raise ValueError(name)


def _why(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    return "a value is out of range"


def occurrences(raw: bytes, byte: bytes) -> int:
    """How often *byte* occurs in *raw*: in a large one counted by numpy, at a quarter of the cost."""
    if len(raw) < _FEW:
        return raw.count(byte)
    return int(np.count_nonzero(np.frombuffer(raw, dtype=np.uint8) == byte[0]))


def refuse_duplicate_names(raw: bytes, members: int) -> None:
    """Raises `MalformedBody` where an object in *raw* names a member twice.

    I-JSON (RFC 7493, section 2.3) forbids it; a parser that lets the last one win lets one key be
    checked and another be used.

    Args:
        raw: JSON that has been decoded.
        members: how many distinct members were found in it. Every member brings a colon, so as
            many colons as members leave no room for a second one of a name. Only where there are
            more colons (inside a text, in a nested object) is *raw* gone through again.
    """
    if occurrences(raw, b":") == members:
        return
    try:
        json.loads(raw, object_pairs_hook=_distinct, parse_int=str, parse_float=str)
    except (RecursionError, ValueError) as error:
        raise MalformedBody(f"The body is not readable as JSON: {_why(error)}") from None


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise MalformedBody("The JSON body names a member twice")


def check_members(raw: bytes, members: Mapping[str, msgspec.Raw], known: Collection[str]) -> None:
    """Refuse what decoding the object *raw* into raw *members* let pass.

    Args:
        raw: the object.
        members: what it was decoded into.
        known: the names of those that are decoded further on, and their values checked there.

    Raises:
        MalformedBody: it names a member twice, or a value nobody reads nests too deeply.
    """
    colons, count = len(members), bytes.count if len(raw) < _FEW else occurrences
    for name, value in members.items():
        colons += count(bytes(value), b":")
        if name not in known:
            refuse_deep_nesting(decode_json(value, ANY))
    refuse_duplicate_names(raw, colons)


def refuse_deep_nesting(value: object, depth: int = MAX_DEPTH) -> None:
    """Raises `MalformedBody` where the decoded *value* nests more than *depth* levels."""
    if not isinstance(value, list | dict):
        return
    if depth == 0:
        raise MalformedBody("The body is not readable as JSON: it is nested too deeply")
    for item in value.values() if isinstance(value, dict) else value:
        refuse_deep_nesting(item, depth - 1)
