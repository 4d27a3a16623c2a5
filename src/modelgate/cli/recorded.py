"""Recorded requests: a line of JSON each, and how an answer differs from the one recorded."""

import math
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from ..errors import ConfigurationError

__all__ = ["Recorded", "differences", "recorded"]

_SECRET = {"authorization", "proxy-authorization", "cookie", "x-api-key", "datarobot-key"}
"""Header fields that hold secrets."""

_KEY = re.compile(r"mg_live_[0-9A-Za-z]{8}|_[0-9A-Za-z]{26}_[0-9A-Za-z]{6}(?![0-9A-Za-z])")
"""A key that was generated, with whatever prefix, or its beginning."""


class Recorded(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A request, and what was answered.

    Args:
        path: below the mount point, with the query string.
        method: upper case.
        headers: of the request.
        json: the body, as JSON.
        body: the body, as text; this or *json*, or neither.
        status: that was answered; None for any.
        answer: that was given: a value of JSON, or a text where it was none; unset for any.
    """

    path: str
    method: str = "POST"
    headers: dict[str, str] = {}
    json: Any = msgspec.UNSET
    body: str | None = None
    status: int | None = None
    answer: Any = msgspec.UNSET

    def content(self) -> tuple[bytes, dict[str, str]]:
        """The body and the header fields to send."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.json is msgspec.UNSET:
            return (self.body or "").encode(), headers
        return msgspec.json.encode(self.json), {"content-type": "application/json", **headers}


def recorded(lines: Iterable[bytes], key: str | None = None) -> Iterator[tuple[int, Recorded]]:
    """The requests of *lines*, each with the number of its line; empty lines are none.

    Args:
        lines: of JSON.
        key: the one that is sent, and stands in no line.

    Raises:
        ConfigurationError: a line is no request, or holds a secret; it is named.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = msgspec.json.decode(line, type=Recorded)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"line {number}: {error}") from None
        secret = _secret(request, key)
        if secret is not None:
            raise ConfigurationError(f"line {number}: has {secret}: --key-env gives the key, a file has none")
        if not _is_whole(request):
            raise ConfigurationError(
                f"line {number}: accepts a path from / on without control characters, headers in ASCII, and json or body"
            )
        yield number, request


def _secret(request: Recorded, key: str | None) -> str | None:
    """What *request* holds that is a secret, without telling it."""
    header = next((name for name in request.headers if name.lower() in _SECRET), None)
    if header is not None:
        return f"the header {header}"
    if "api_key" in (request.json if isinstance(request.json, dict) else request.body or ""):
        return "the member api_key"
    texts = list(_texts(msgspec.to_builtins(request)))
    if key is not None and any(key in text for text in texts):
        return "the key itself"
    return "what looks like a key" if any(map(_KEY.search, texts)) else None


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of JSON, also as a URL quotes them."""
    if isinstance(value, str):
        yield unquote(value)
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _is_whole(request: Recorded) -> bool:
    """Whether it can be sent."""
    fields = request.method + "".join(name + value for name, value in request.headers.items())
    one_body = request.json is msgspec.UNSET or request.body is None
    return one_body and request.path.startswith("/") and request.path.isprintable() and fields.isascii()


def differences(
    expected: Any, told: Any, tolerance: float, ignored: Collection[str], at: str = "answer"
) -> Iterator[str]:
    """Where *told* differs from what is *expected*, and how.

    Args:
        expected: a value of JSON.
        told: another one.
        tolerance: of numbers, relative and absolute; of whole ones, which may be ids or labels, absolute alone.
        ignored: members of objects that may differ.
        at: where in the answer both are.
    """
    if isinstance(expected, dict) and isinstance(told, dict):
        for name in sorted({*expected, *told} - set(ignored)):
            if name not in told or name not in expected:
                yield f"{at}.{name} is {'missing' if name not in told else 'new'}"
            else:
                yield from differences(expected[name], told[name], tolerance, ignored, f"{at}.{name}")
    elif isinstance(expected, list) and isinstance(told, list):
        if len(expected) != len(told):
            yield f"{at} has {len(told)} items, and had {len(expected)}"
        for place, pair in enumerate(zip(expected, told, strict=False)):
            yield from differences(*pair, tolerance, ignored, f"{at}[{place}]")
    elif not _same(expected, told, tolerance):
        yield f"{at} is {_shown(told)}, and was {_shown(expected)}"


def _same(expected: Any, told: Any, tolerance: float) -> bool:
    if type(expected) is type(told) is int:
        return bool(abs(expected - told) <= tolerance)
    if type(expected) in (int, float) and type(told) in (int, float):
        return math.isclose(expected, told, rel_tol=tolerance, abs_tol=tolerance)
    return type(expected) is type(told) and bool(expected == told)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:59]}…"
