"""Response to a usual request. Its header fields are encoded without creating a list first."""

from collections.abc import Iterable

from ..http import Response

__all__ = ["UsualResponse"]


class UsualResponse(Response):
    """Response with status 200 and JSON.

    The list of *headers* is created when it is first read. An ASGI server does not need it.

    Args:
        body: Body of the response.
        field: Header field that the wire format adds, sent after ``Content-Type``; None for none.
        quota: Values of ``X-RateLimit-Limit``, ``X-RateLimit-Remaining`` and ``X-RateLimit-Reset``.
        request_id: Value of ``X-Request-ID``.
    """

    status = 200
    reason = None
    _headers: list[tuple[str, str]] | None = None
    _has_length = False

    def __init__(
        self, body: bytes, field: tuple[str, str] | None, quota: tuple[int, int, int], request_id: str
    ) -> None:
        self.body = body
        self._field = field
        self._quota = quota
        self._request_id = request_id

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Pairs of field name (lower case) and value."""
        if self._headers is None:
            limit, remaining, reset = self._quota
            self._headers = [
                ("content-type", "application/json"),
                *(() if self._field is None else (self._field,)),
                ("x-ratelimit-limit", f"{limit}"),
                ("x-ratelimit-remaining", f"{remaining}"),
                ("x-ratelimit-reset", f"{reset}"),
                ("x-request-id", self._request_id),
            ]
            if self._has_length:
                self._headers.append(("content-length", f"{len(self.body)}"))  # type: ignore[arg-type]
        return self._headers

    @headers.setter
    def headers(self, headers: list[tuple[str, str]]) -> None:
        self._headers = headers

    def payload(self, method: str) -> bytes | Iterable[bytes]:
        """Set ``Content-Length``, and return the bytes to send; see `Response.payload`."""
        body = self.body
        if self._headers is not None or method == "HEAD" or not isinstance(body, bytes):
            # A layer of the app may have changed the header fields or the body.
            return super().payload(method)
        self._has_length = True
        return body

    def encode_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields as bytes. Call `payload` first."""
        if self._headers is not None or not self._has_length:
            return super().encode_headers()
        limit, remaining, reset = self._quota
        headers = [
            (b"content-type", b"application/json"),
            (b"x-ratelimit-limit", b"%d" % limit),
            (b"x-ratelimit-remaining", b"%d" % remaining),
            (b"x-ratelimit-reset", b"%d" % reset),
            (b"x-request-id", self._request_id.encode("latin-1")),
            (b"content-length", b"%d" % len(self.body)),  # type: ignore[arg-type]
        ]
        if self._field is not None:
            name, value = self._field
            headers.insert(1, (name.encode("latin-1"), value.encode("latin-1")))
        return headers
