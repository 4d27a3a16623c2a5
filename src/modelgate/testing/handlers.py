"""Requests, a handler and a clock for tests of layers."""

from collections.abc import Mapping
from typing import Any

from ..errors import BodyTooLarge
from ..flow import Flow
from ..http import Request, Response

__all__ = ["FakeClock", "StubHandler", "request"]


class FakeClock:
    """Clock that only a test advances. Call the clock to get the time in seconds.

    Args:
        now: Initial time in seconds.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Advance the clock by *seconds*."""
        self.now += seconds


class _Fields(dict[str, str]):
    """Header fields, with names in lower case."""


class _MemoryRequest(Request):
    __slots__ = ("_content",)

    def __init__(self, content: bytes, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._content = content

    def _read(self) -> bytes:
        if self.max_body is not None and len(self._content) > self.max_body:
            raise BodyTooLarge(self.max_body)
        return self._content

    async def _aread(self) -> bytes:
        return self._read()


def request(
    method: str = "POST",
    path: str = "/",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    client: str | None = "192.0.2.1",
) -> Request:
    """Return a request with its body in memory.

    Args:
        method: HTTP method, upper case.
        path: Path, percent-decoded.
        headers: Header fields; ``Content-Length`` is added if there is a body.
        body: Body of the request.
        client: IP address of the caller; None if it is unknown.
    """
    fields = _Fields({name.lower(): value for name, value in (headers or {}).items()})
    if body:
        fields.setdefault("content-length", str(len(body)))
    return _MemoryRequest(body, method, path, fields, client=client)


class StubHandler:
    """Handler that records requests and always returns the same result.

    Args:
        result: Value to return, or exception to raise; None for an empty response with status 200.

    Attributes:
        requests: Received requests, in order.
    """

    def __init__(self, result: Any = None) -> None:
        self.result = result
        self.requests: list[Any] = []

    def __call__(self, request: Any) -> Flow[Any]:
        yield from ()
        self.requests.append(request)
        if isinstance(self.result, BaseException):
            raise self.result
        return Response(200) if self.result is None else self.result
