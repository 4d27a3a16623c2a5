"""Recorded requests: a line of JSON each, and how an answer differs from the one recorded."""

import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from ..errors import ConfigurationError

__all__ = ["Recorded", "differences", "recorded"]

_SECRET = {"authorization", "proxy-authorization", "cookie", "x-api-key", "datarobot-key"}
"""Header fields that hold secrets."""


class Recorded(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A request, and what was answered.

    Args:
        path: below the mount point, with the query string.
        method: upper case.
        headers: of the request; none that holds a secret.
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


def recorded(lines: Iterable[bytes]) -> Iterator[tuple[int, Recorded]]:
    """The requests of *lines*, each with the number of its line; empty lines are none.

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
        secret = next((name for name in request.headers if name.lower() in _SECRET), None)
        if secret is not None:
            raise ConfigurationError(
                f"line {number}: has the header {secret}: --key-env gives the key, a file has none"
            )
        if not request.path.startswith("/") or (
            request.json is not msgspec.UNSET and request.body is not None
        ):
            raise ConfigurationError(f"line {number}: accepts a path from / on, and json or body")
        yield number, request


def differences(
    expected: Any, told: Any, tolerance: float, ignored: Collection[str], at: str = "answer"
) -> Iterator[str]:
    """Where *told* differs from what is *expected*, and how.

    Args:
        expected: a value of JSON.
        told: another one.
        tolerance: of numbers, relative and absolute.
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
    if type(expected) in (int, float) and type(told) in (int, float):
        return math.isclose(expected, told, rel_tol=tolerance, abs_tol=tolerance)
    return type(expected) is type(told) and bool(expected == told)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:59]}…"
