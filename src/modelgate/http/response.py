"""HTTP responses."""

import http
from collections.abc import Iterable, Mapping

import msgspec

from ..errors import AnswerableError, ServingError

__all__ = ["Response", "error_response"]


class Response:
    """HTTP response.

    Attributes:
        status: HTTP status.
        body: Body as bytes, or as an iterable of bytes to stream.
        headers: Pairs of field name (lower case) and value.
        reason: Reason phrase; None for the standard one.
    """

    __slots__ = ("body", "headers", "reason", "status")

    def __init__(
        self,
        status: int,
        body: bytes | Iterable[bytes] = b"",
        headers: Iterable[tuple[str, str]] = (),
        reason: str | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = list(headers)
        self.reason = reason

    @classmethod
    def json(cls, value: object, status: int = 200) -> "Response":
        """Return a response with *value* as JSON."""
        return cls(status, msgspec.json.encode(value), [("content-type", "application/json")])

    @property
    def status_line(self) -> str:
        """Status and reason phrase, for WSGI."""
        if self.reason is not None:
            return f"{self.status} {self.reason}"
        # Some servers reject a status line without a phrase, and 480 has no standard one.
        return _STATUS_LINES.get(self.status) or f"{self.status} {'Error' if self.status >= 400 else 'OK'}"

    def header(self, name: str) -> str | None:
        """Return the value of the field *name* (any case), or None if it is not set."""
        name, length = name.lower(), len(name)
        for field, value in self.headers:
            if len(field) == length and field.lower() == name:
                return value
        return None

    def payload(self, method: str) -> bytes | Iterable[bytes]:
        """Set ``Content-Length``, and return the bytes to send. A streamed body is returned unchanged.

        A response to HEAD has a length, but no bytes (RFC 9110, section 9.3.2).

        Args:
            method: Method of the request.
        """
        body = self.body
        if not isinstance(body, bytes):
            return body
        # RFC 9110, section 8.6: 204 and 304 have no content.
        if self.header("content-length") is None and self.status not in (204, 304):
            self.headers.append(("content-length", f"{len(body)}"))
        return b"" if method == "HEAD" else body

    def encode_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields as bytes, for ASGI."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]

    def set(self, name: str, value: str) -> None:
        """Set the field *name* (lower case) to *value*. Existing values are replaced."""
        if self.header(name) is not None:
            self.headers = [pair for pair in self.headers if pair[0].lower() != name]
        self.headers.append((name, value))


_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in http.HTTPStatus}


def error_response(
    error: AnswerableError,
    request_id: str | None = None,
    message_members: Mapping[str, object] | None = None,
) -> Response:
    """Return ``{"error": message}`` with the details of *error* and, for a `ServingError`, the request id.

    Args:
        error: Error to encode.
        request_id: Id of the request, if it has one.
        message_members: Members in place of ``{"error": message}``, for wire formats with other names.
    """
    members = dict({"error": error.message} if message_members is None else message_members)
    members.update(error.details)
    if isinstance(error, ServingError) and request_id is not None:
        members["request_id"] = request_id
    response = Response.json(members, error.status)
    response.headers.extend(error.headers.items())
    return response
