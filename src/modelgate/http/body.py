"""Read, decompress and decode request bodies."""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from ..codecs.charsets import is_json, media_type
from ..codecs.compression import decompress, max_decompressed_size
from ..codecs.json import LARGE, RAW, check_unread_members, decode_json
from ..errors import BodyTooLarge, UnsupportedMediaType
from ..flow import Flow, run_long
from .request import Request

__all__ = [
    "check_body",
    "decode_json_off_loop",
    "parse_off_loop",
    "read_body",
    "read_json",
    "read_json_body",
    "read_json_members",
    "read_json_raw",
]

T = TypeVar("T")
P = ParamSpec("P")

_NULL = msgspec.Raw(b"null")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_json_body(request: Request, *also: str) -> Flow[bytes]:
    """Return the decompressed body of *request*, which must be JSON in UTF-8.

    A missing ``Content-Type`` counts as JSON, because clients often omit it.
    ``text/plain``, which browsers send for a string, counts as JSON if the body begins like an object or an
    array.

    Args:
        request: Request to read.
        also: Other values of ``Content-Type`` that clients of the service send with JSON.

    Raises:
        UnsupportedMediaType: The ``Content-Type`` is not JSON.
        BodyTooLarge, MalformedBody: See `read_body`.
    """
    content_type = request.headers.get("content-type")
    if not content_type or content_type == "application/json" or content_type in also:
        return read_body(request)
    return _read_body_of_type(request, content_type)


def _read_body_of_type(request: Request, content_type: str) -> Flow[bytes]:
    is_text = _is_text(content_type)
    raw = yield from read_body(request)
    if is_text and raw.lstrip()[:1] not in (b"{", b"["):
        raise UnsupportedMediaType("application/json")
    return raw


# Cached, because most callers send the same Content-Type.
@lru_cache(maxsize=64)
def _is_text(content_type: str) -> bool:
    """Return whether *content_type* is plain text, which may contain JSON.

    Raises:
        UnsupportedMediaType: *content_type* is neither JSON nor plain text, or its charset is not UTF-8.
    """
    kind, parameters = media_type(content_type)
    is_text = kind == "text/plain"
    if not is_json("application/json" if is_text else kind, parameters):
        raise UnsupportedMediaType("application/json")
    return is_text


def read_body(request: Request) -> Flow[bytes]:
    """Return the decompressed body of *request*.

    Raises:
        BodyTooLarge: The body is larger than `Request.max_body`, before or after decompression.
        UnsupportedMediaType, MalformedBody: See `modelgate.codecs.compression.decompress` and `Request.read`.
    """
    if request.content is None:
        raw, coding = (yield from request.read()), request.headers.get("content-encoding")
        if coding is None or coding.lower() == "identity":
            if len(raw) > LARGE and request.large_bodies is not None and request.body_share is None:
                request.body_share = yield from request.large_bodies.admit(
                    len(raw), len(raw) * request.body_weight, request.on_close
                )
            request.content = raw
        else:
            request.content = yield from _decompress(request, raw, coding)
    return request.content


def _decompress(request: Request, raw: bytes, coding: str) -> Flow[bytes]:
    limit, bodies = request.max_body or request.wire.max_body, request.large_bodies
    if bodies is None:
        return (yield from run_long(decompress, raw, coding, limit))
    share, weight = request.body_share, request.body_weight
    if share is None:
        # Small bodies do not wait for large ones. Their size is known only after decompression.
        small = yield from run_long(_decompress_small, raw, coding, min(limit, LARGE))
        if small is not None:
            return small
        largest = min(limit, max_decompressed_size(len(raw), bodies.max_expansion))
        request.body_share = share = yield from bodies.admit(len(raw), largest * weight, request.on_close)
    body = yield from run_long(decompress, raw, coding, limit, bodies.max_expansion)
    bodies.resize(share, len(body) * weight)
    return body


def _decompress_small(raw: bytes, coding: str, limit: int) -> bytes | None:
    """Return the decompressed body, or None if it has more than *limit* bytes."""
    try:
        return decompress(raw, coding, limit)
    except BodyTooLarge:
        return None


def read_json(request: Request, decoder: "msgspec.json.Decoder[T]", *also: str) -> Flow[T]:
    """Return the JSON body of *request*, decoded by *decoder*.

    Args:
        request: Request to read.
        decoder: Decoder of the body.
        also: See `read_json_body`.

    Raises:
        UnsupportedMediaType, BodyTooLarge, MalformedBody: See `read_json_body` and `decode_json`.
    """
    raw = yield from read_json_body(request, *also)
    # Most bodies are small: avoid the cost of another flow.
    return decode_json(raw, decoder) if len(raw) <= LARGE else (yield from decode_json_off_loop(raw, decoder))


def read_json_raw(request: Request) -> Flow[bytes]:
    """Return the JSON body as raw bytes without surrounding white space. For errors see `read_json`."""
    return bytes((yield from read_json(request, RAW)))


def parse_off_loop(
    read: Callable[Concatenate[bytes, P], T], raw: bytes, *args: P.args, **kwargs: P.kwargs
) -> Flow[T]:
    """Call *read* with *raw*, a body or a part of one, and return the result.

    Use a worker thread if *raw* is large.
    """
    if len(raw) > LARGE:
        return (yield from run_long(read, raw, *args, **kwargs))
    return read(raw, *args, **kwargs)


def decode_json_off_loop(raw: bytes | msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> Flow[T]:
    """Decode *raw*, a body or a part of one. Use a worker thread if *raw* is large.

    Raises:
        MalformedBody: See `decode_json`.
    """
    return parse_off_loop(decode_json, bytes(raw), decoder)


def read_json_members(request: Request, *also: str) -> Flow[dict[str, msgspec.Raw]]:
    """Return the members of the JSON object in the body, with raw values. Members that are null are left out.

    Clients that are generated from an OpenAPI document send null for members that their user left out.

    Args:
        request: Request to read.
        also: See `read_json_body`.

    Raises:
        UnsupportedMediaType, BodyTooLarge, MalformedBody: See `read_json`.
    """
    raw = yield from read_json_body(request, *also)
    members = (
        decode_json(raw, _MEMBERS) if len(raw) <= LARGE else (yield from decode_json_off_loop(raw, _MEMBERS))
    )
    if _NULL in members.values():
        return {name: value for name, value in members.items() if value != _NULL}
    return members


def check_body(request: Request, members: Mapping[str, msgspec.Raw], known: Collection[str]) -> Flow[None]:
    """Check a body of which only some members are used; see `modelgate.codecs.json.check_unread_members`."""
    body = request.content or (yield from read_body(request))
    if len(body) <= LARGE:
        check_unread_members(body, members, known)
    else:
        yield from run_long(check_unread_members, body, members, known)
