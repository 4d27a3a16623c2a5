"""Strict JSON decoder.

For invalid JSON, it raises a `MalformedBody` that describes the problem and its position.

msgspec is strict about syntax and numbers (no NaN, no 1e400), but does not suffice for a gate in three ways:
it may raise RecursionError or UnicodeDecodeError, it accepts duplicate names (the last one wins), and it
skips unused values without limiting their depth.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np

from ..errors import MalformedBody
from .compression import COMPRESSED_BODY, GZIP_MAGIC

__all__ = [
    "ANY",
    "LARGE",
    "MAX_DEPTH",
    "RAW",
    "check_json",
    "check_unread_members",
    "count_byte",
    "decode_allowing_overflow",
    "decode_json",
    "decode_text",
    "reject_deep_nesting",
    "reject_duplicate_names",
    "reject_encoded_text",
    "shift_position",
]

T = TypeVar("T")

LARGE = 64 * 1024
"""Size in bytes above which JSON is decoded in another thread. Checking 1 MiB can take 20 ms."""

_NUMPY_SIZE = 8192
_MAX_DIGITS = 400

# Literals that Python's json.dumps writes. For -Infinity, msgspec reports the position after the minus sign.
_NOT_A_NUMBER = re.compile(rb"NaN|Infinity")

_POSITION = re.compile(r"\(byte (\d+)\)")
_ROW = re.compile(r"`\$\[(\d+)\]")

ANY: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder()
"""Decoder for any JSON value."""

_TEXT = msgspec.json.Decoder(str)

RAW: "msgspec.json.Decoder[msgspec.Raw]" = msgspec.json.Decoder(msgspec.Raw)
"""Decoder that checks the syntax of a JSON value without decoding it."""

MAX_DEPTH = 32
"""Largest depth of nested arrays and objects in unused values."""


def decode_json(raw: bytes | msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode *raw*, a body or part of one.

    Raises:
        MalformedBody: *raw* cannot be decoded.
    """
    if not raw:
        empty = MalformedBody("The body is empty: send a JSON object")
        empty.needs_example = True
        raise empty
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        if bytes(raw)[:1] == b'"':
            reject_encoded_text("The JSON body", decode_json(raw, ANY))
        raise MalformedBody(f"The JSON body has the wrong shape: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(_describe_syntax_error(raw, error)) from None
    except (RecursionError, ValueError, MemoryError) as error:
        raise MalformedBody(f"The body is not readable as JSON: {_describe_error(error)}") from None


def check_json(raw: bytes) -> None:
    """Raise `MalformedBody` if *raw* is not JSON.

    Strings may contain invalid UTF-8, and numbers may be too large for a float: neither is checked.
    """
    decode_json(raw, RAW)


def shift_position(error: MalformedBody, offset: int, rows: int) -> MalformedBody:
    """Return *error*, raised for a part of an array, with the position and row number in the entire array.

    Args:
        error: Error of the part.
        offset: Number of bytes to add to the position.
        rows: Number of rows before the part.
    """
    message = _POSITION.sub(lambda match: f"(byte {int(match[1]) + offset})", error.message)
    return MalformedBody(_ROW.sub(lambda match: f"`$[{int(match[1]) + rows}]", message))


def decode_text(raw: bytes | msgspec.Raw) -> str | None:
    """Return the text that *raw* encodes, or None if *raw* is not a JSON string."""
    try:
        return _TEXT.decode(raw)
    except (msgspec.MsgspecError, ValueError):
        return None


def decode_allowing_overflow(raw: bytes) -> tuple[Any, MalformedBody | None]:
    """Decode *raw*, with infinity for numbers that are too large for a float.

    Returns:
        The decoded value, and the error for a number that is too large, or None if there is no such number.

    Raises:
        MalformedBody: *raw* cannot be decoded for another reason.
    """
    try:
        return decode_json(raw, ANY), None
    except MalformedBody as error:
        # With ANY the only ValidationError is a number that is too large for a float.
        if not isinstance(error.__context__, msgspec.ValidationError):
            raise
        try:
            return json.loads(raw.decode(), parse_int=_parse_int, parse_constant=_reject_constant), error
        except (RecursionError, ValueError):
            raise error from None


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _reject_constant(name: str) -> None:
    raise ValueError(name)


def _describe_syntax_error(raw: bytes | msgspec.Raw, error: Exception) -> str:
    if bytes(raw).startswith(GZIP_MAGIC):
        return COMPRESSED_BODY
    # How msgspec reports invalid UTF-8 depends on its version.
    try:
        bytes(raw).decode()
    except UnicodeDecodeError as unicode_error:
        return f"The body is not readable as JSON: {_describe_error(unicode_error)}"
    if token := _NOT_A_NUMBER.match(bytes(raw), _error_position(error)):
        name, remedy = (
            token[0].decode(),
            "null for a missing number" if token[0] == b"NaN" else "a finite number",
        )
        return f"The body is not valid JSON, which has no {name} (byte {token.start()}): send {remedy}"
    return f"The body is not valid JSON: {error}"


def _error_position(error: Exception) -> int:
    """Return the position at which msgspec found a syntax error, or 0 if *error* has none."""
    position = _POSITION.search(str(error))
    return int(position[1]) if position is not None else 0


def reject_encoded_text(subject: str, value: object) -> None:
    """Raise `MalformedBody` if *value* is a text that contains a JSON object or array.

    Args:
        subject: Name of the value in the message.
        value: Decoded JSON.
    """
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        raise MalformedBody(
            f"{subject} is a text that contains JSON: it was encoded twice, so send the object or array itself"
        )


def _describe_error(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    return "a value is out of range"


def count_byte(raw: bytes, byte: bytes) -> int:
    """Return how often *byte* occurs in *raw*."""
    # On large inputs numpy takes a quarter of the time.
    if len(raw) < _NUMPY_SIZE:
        return raw.count(byte)
    return int(np.count_nonzero(np.frombuffer(raw, dtype=np.uint8) == byte[0]))


def reject_duplicate_names(raw: bytes, members: int) -> None:
    """Raise `MalformedBody` if an object in *raw* has two members with the same name.

    I-JSON (RFC 7493, section 2.3) forbids duplicates. If two parsers choose different duplicates, one API key
    may be checked and another one used.

    Each member has one colon, so *raw* is parsed again only if the number of its colons is not *members*.

    Args:
        raw: JSON that has been decoded.
        members: Number of distinct members that were decoded.
    """
    if count_byte(raw, b":") == members:
        return
    try:
        json.loads(raw, object_pairs_hook=_check_names, parse_int=str, parse_float=str)
    except (RecursionError, ValueError) as error:
        raise MalformedBody(f"The body is not readable as JSON: {_describe_error(error)}") from None


def _check_names(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise MalformedBody("An object in the JSON body names a member twice: remove one")


def check_unread_members(raw: bytes, members: Mapping[str, msgspec.Raw], known: Collection[str]) -> None:
    """Check an object for duplicate names, and for unused values that nest too deeply.

    Args:
        raw: The object.
        members: Members of the object, with raw values.
        known: Names of the members that are used. Their values are checked when they are decoded.

    Raises:
        MalformedBody: The object has duplicate names, or an unused value nests too deeply.
    """
    for name in members:
        if name not in known:
            reject_deep_nesting(decode_json(members[name], ANY))
    count = bytes.count if len(raw) < _NUMPY_SIZE else count_byte
    names = len(members) + count(b"".join(members.values()), b":")
    # Counting is repeated there, but most requests do not need the call.
    if count(raw, b":") != names:
        reject_duplicate_names(raw, names)


def reject_deep_nesting(value: object, depth: int = MAX_DEPTH) -> None:
    """Raise `MalformedBody` if the decoded *value* nests more than *depth* levels."""
    if not isinstance(value, list | dict):
        return
    if depth == 0:
        raise MalformedBody("The body is not readable as JSON: it is nested too deeply")
    for item in value.values() if isinstance(value, dict) else value:
        reject_deep_nesting(item, depth - 1)
