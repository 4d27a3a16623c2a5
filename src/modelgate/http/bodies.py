"""The body of a request, read: without its content coding, and as JSON."""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from ..errors import UnsupportedMediaType
from ..flow import Flow, run
from .charsets import is_json, media_type
from .codings import unpacked
from .messages import Request
from .strict_json import LARGE, check_members, decode_json

__all__ = [
    "check_body",
    "content",
    "decoded",
    "json_body",
    "json_members",
    "json_text",
    "parsed",
    "require_json",
]

T = TypeVar("T")
P = ParamSpec("P")

_RAW = msgspec.json.Decoder(msgspec.Raw)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def require_json(request: Request) -> None:
    """Raises `UnsupportedMediaType` where the body says it is something other than JSON in UTF-8.

    A body that says nothing is taken for JSON: clients of these services leave the field out.
    """
    told = request.headers.get("content-type")
    if not told or told == "application/json":
        return
    if not _is_json(told):
        raise UnsupportedMediaType("application/json")


# Callers send one Content-Type again and again.
@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    return is_json(*media_type(content_type))


def content(request: Request) -> Flow[bytes]:
    """The body of *request*, its content coding undone.

    Raises:
        BodyTooLarge: it is larger than `Request.max_body`, as it was sent or as it unpacks to.
        UnsupportedMediaType, MalformedBody: see `modelgate.http.codings.unpacked` and `Request.read`.
    """
    if request.content is None:
        raw, coding = (yield from request.read()), request.headers.get("content-encoding")
        if coding is None or coding.lower() == "identity":
            request.content = raw
        else:
            request.content = yield from run(unpacked, raw, coding, request.max_body or request.wire.max_body)
    return request.content


def json_body(request: Request, decoder: "msgspec.json.Decoder[T]") -> Flow[T]:
    """The body of *request*, read as JSON and decoded.

    Raises:
        UnsupportedMediaType: it says it is something else.
        BodyTooLarge, MalformedBody: see `content` and `decode_json`.
    """
    require_json(request)
    raw = yield from content(request)
    # Nearly every body is small, and needs no flow of its own.
    return decode_json(raw, decoder) if len(raw) <= LARGE else (yield from decoded(raw, decoder))


def json_text(request: Request) -> Flow[bytes]:
    """The JSON value that is the body, still raw, without white space around it. Raises: as `json_body`."""
    return bytes((yield from json_body(request, _RAW)))


def parsed(
    read: Callable[Concatenate[bytes, P], T], raw: bytes, *args: P.args, **kwargs: P.kwargs
) -> Flow[T]:
    """What *read* makes of *raw*, a body or a part of it: beside the event loop where it is large."""
    if len(raw) > LARGE:
        return (yield from run(read, raw, *args, **kwargs))
    return read(raw, *args, **kwargs)


def decoded(raw: bytes | msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> Flow[T]:
    """*raw*, a body or a part of it, decoded: beside the event loop where it is large.

    Raises:
        MalformedBody: see `decode_json`.
    """
    return parsed(decode_json, bytes(raw), decoder)


def json_members(request: Request) -> Flow[dict[str, msgspec.Raw]]:
    """The members of the JSON object that is the body, their values still raw.

    Raises: as `json_body`.
    """
    return json_body(request, _MEMBERS)


def check_body(request: Request, members: Mapping[str, msgspec.Raw], known: Collection[str]) -> Flow[None]:
    """Refuse what `json_members` let pass; see `modelgate.http.strict_json.check_members`."""
    body = request.content or (yield from content(request))
    if len(body) <= LARGE:
        check_members(body, members, known)
    else:
        yield from run(check_members, body, members, known)
