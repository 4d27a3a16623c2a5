"""Read recorded requests, and compare their expected answers with actual answers.

A recording has one JSON object per line.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from ..errors import ConfigurationError

__all__ = ["RecordedRequest", "find_differences", "read_recording"]

_SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie", "x-api-key", "datarobot-key"}

_KEY = re.compile(r"mg_live_[0-9A-Za-z]{8}|_[0-9A-Za-z]{26}_[0-9A-Za-z]{6}(?![0-9A-Za-z])")
"""Start of a generated key with the default prefix, or an entire generated key with any prefix."""


class RecordedRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Request with its expected answer.

    Args:
        path: Path below the mount point, with the query string.
        method: HTTP method, in upper case.
        headers: Request headers.
        json: Body as JSON.
        body: Body as text. At most one of *json* and *body* is set.
        status: Expected status; None for any.
        answer: Expected answer: a JSON value, or text. If unset, any answer is accepted.
    """

    path: str
    method: str = "POST"
    headers: dict[str, str] = {}
    json: Any = msgspec.UNSET
    body: str | None = None
    status: int | None = None
    answer: Any = msgspec.UNSET

    def content(self) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers to send."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.json is msgspec.UNSET:
            return (self.body or "").encode(), headers
        return msgspec.json.encode(self.json), {"content-type": "application/json", **headers}


def read_recording(lines: Iterable[bytes], key: str | None = None) -> Iterator[tuple[int, RecordedRequest]]:
    """Parse recorded requests and yield each with its line number. Empty lines are skipped.

    Args:
        lines: Lines of the file.
        key: API key that will be sent. A line that contains it is rejected.

    Raises:
        ConfigurationError: A line is not a valid request, or contains a secret.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = msgspec.json.decode(line, type=RecordedRequest)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"line {number}: {error}") from None
        secret = _find_secret(request, key)
        if secret is not None:
            raise ConfigurationError(
                f"line {number} contains {secret}: remove it, and pass the key with --key-env"
            )
        if not _can_be_sent(request):
            raise ConfigurationError(
                f"line {number}: path must start with / and have no control characters, method and headers must"
                " be ASCII, and only one of json and body may be set"
            )
        yield number, request


def _find_secret(request: RecordedRequest, key: str | None) -> str | None:
    """Return a description of the secret in *request*, or None if it contains no secret."""
    header = next((name for name in request.headers if name.lower() in _SECRET_HEADERS), None)
    if header is not None:
        return f"the header {header}"
    if "api_key" in (request.json if isinstance(request.json, dict) else request.body or ""):
        return "the member api_key"
    texts = list(_texts(msgspec.to_builtins(request)))
    if key is not None and any(key in text for text in texts):
        return "the key itself"
    return "what looks like a key" if any(map(_KEY.search, texts)) else None


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings and the member names in a JSON value, both raw and URL-decoded."""
    if isinstance(value, str):
        yield unquote(value)
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _texts(name)
            yield from _texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _can_be_sent(request: RecordedRequest) -> bool:
    fields = request.method + "".join(name + value for name, value in request.headers.items())
    one_body = request.json is msgspec.UNSET or request.body is None
    return one_body and request.path.startswith("/") and request.path.isprintable() and fields.isascii()


def find_differences(
    expected: Any, actual: Any, tolerance: float, ignored: Collection[str], location: str = "answer"
) -> Iterator[str]:
    """Compare two JSON values and describe each difference.

    Args:
        expected: Expected value.
        actual: Actual value.
        tolerance: Relative and absolute tolerance for numbers. For two integers, which may be ids or
            labels, only the absolute tolerance applies.
        ignored: Names of object members that may differ.
        location: Location of both values in the answer.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted({*expected, *actual} - set(ignored)):
            if name not in actual or name not in expected:
                yield f"{location}.{name} is {'missing' if name not in actual else 'new'}"
            else:
                yield from find_differences(
                    expected[name], actual[name], tolerance, ignored, f"{location}.{name}"
                )
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{location} has {len(actual)} items, had {len(expected)}"
        for index, pair in enumerate(zip(expected, actual, strict=False)):
            yield from find_differences(*pair, tolerance, ignored, f"{location}[{index}]")
    elif not _are_equal(expected, actual, tolerance):
        yield f"{location} is {_shorten(actual)}, was {_shorten(expected)}"


def _are_equal(expected: Any, actual: Any, tolerance: float) -> bool:
    if type(expected) is type(actual) is int:
        return bool(abs(expected - actual) <= tolerance)
    if type(expected) in (int, float) and type(actual) in (int, float):
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
    return type(expected) is type(actual) and bool(expected == actual)


def _shorten(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:59]}…"
