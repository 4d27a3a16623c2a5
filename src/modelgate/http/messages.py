"""What a layer sees of HTTP: a `Request`, a `Response`, and the `Wire` format spoken.

Nothing here knows a framework. `modelgate.mount` makes the requests and sends the responses.
"""

import base64
import http
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ..errors import (
    AnswerableError,
    BodyTooLarge,
    ConfigurationError,
    ConflictingCredentials,
    MalformedBody,
    ServingError,
)
from ..flow import Flow, Handler, Layer, Wait, checked_layers, stack

if TYPE_CHECKING:
    from ..dialects import Route
    from ..flow.timing import Timing
    from ..keys import Principal
    from ..scoring import Query
    from ..scoring.query import RowCheck

__all__ = [
    "MAX_BODY",
    "PLAIN",
    "BodyMeter",
    "Headers",
    "Request",
    "Response",
    "Wire",
    "answered",
    "error_response",
    "head_credentials",
    "http_stack",
    "refusal",
    "token_of",
]

MAX_BODY = 1024 * 1024
"""The largest body read, in bytes, where the service whose wire format is spoken names no other."""


class Headers(Protocol):
    """The header fields of a request."""

    def get(self, name: str) -> str | None:
        """The value of the field *name* (lower case); repeated ones joined by a comma."""


class Wire(Protocol):
    """What a layer must know of the wire format spoken: where the key stands, how an error looks.

    Attributes:
        max_body: the largest body its service takes, in bytes.
    """

    max_body: int

    def credentials(self, request: "Request") -> Flow[str | None]:
        """The API key the caller presents, None where there is none.

        Raises:
            ConflictingCredentials: two places name different keys.
        """

    def encode_error(self, request: "Request", error: AnswerableError) -> "Response":
        """The answer to a request that failed."""


class BodyMeter:
    """Counts the bytes of a body while they arrive.

    Attributes:
        exceeded: whether more arrived than the limit allows.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.seen = 0
        self.exceeded = False

    def count(self, chunk: bytes) -> bytes:
        """Give *chunk* back. Raises `BodyTooLarge` when it goes over the limit."""
        self.seen += len(chunk)
        if self.limit is not None and self.seen > self.limit:
            self.exceeded = True
            raise BodyTooLarge(self.limit)
        return chunk


class Request:
    """One request, seen by the layers: a view of what the server gave, the body unread.

    What belongs to one request is kept here, never on a layer, which every thread and task shares.

    Attributes:
        method: upper case.
        path: below the mount point, percent-decoded.
        root_path: the mount point, with whatever stands before it.
        query_string: percent-encoded, without the question mark.
        headers: the header fields.
        client: the address of the peer, None where the server tells none.
        scheme: ``http`` or ``https``.
        id: the request id, once the layer `RequestId` has given one.
        params: the variable parts of the path, by the names the route gives them.
        deployment: the deployment the path names, None where it names none.
        route: the route that was found, None where there is none.
        started: when the request was taken up, on the clock of `time.perf_counter`.
        timing: where its time goes, once the layer `ServerTiming` was asked.
        action: what is to be done with it, of `modelgate.keys.principal.ACTIONS`.
        principal: whose key it is, once the layer `KeyAuth` has found one that is active.
        error_code: the code of the error that was answered, None where there was none.
        key_id: for logs, the id of a key that is known and was refused as inactive.
        query: what is to be scored, once the dialect has decoded it.
        wire: the wire format spoken.
        envelope: for the dialect: what it has already unwrapped of the body.
        body_read: the body as it was sent, once a layer or the dialect has read it.
        content: the body without its content coding, once that is undone.
        max_body: the largest body to read, in bytes; None for any.
        on_rows: each is called with the number of rows once these are checked, before a model sees
            them, and may refuse them.
        whole_response: for an app with layers around it: whether a layer needs the body of its
            response, which then arrives whole instead of streaming past.
    """

    __slots__ = (
        "_deferred",
        "action",
        "body_read",
        "client",
        "content",
        "deployment",
        "envelope",
        "error_code",
        "headers",
        "id",
        "key_id",
        "max_body",
        "method",
        "on_rows",
        "params",
        "path",
        "principal",
        "query",
        "query_string",
        "root_path",
        "route",
        "scheme",
        "started",
        "timing",
        "whole_response",
        "wire",
    )

    def __init__(
        self,
        method: str,
        path: str,
        headers: Headers,
        *,
        root_path: str = "",
        query_string: str = "",
        scheme: str = "http",
        client: str | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.root_path = root_path
        self.query_string = query_string
        self.scheme = scheme
        self.client = client
        self.id: str | None = None
        self.params: Mapping[str, str] = {}
        self.deployment: str | None = None
        self.route: Route | None = None
        self.started = time.perf_counter()
        self.timing: Timing | None = None
        self.action = "predict"
        self.principal: Principal | None = None
        self.error_code: str | None = None
        self.key_id: str | None = None
        self.query: Query | None = None
        self.wire: Wire = PLAIN
        self.envelope: Any = None
        self.max_body: int | None = None
        self.on_rows: tuple[RowCheck, ...] = ()
        self.whole_response = False
        self.body_read: bytes | None = None
        self.content: bytes | None = None
        self._deferred: list[Callable[[], None]] | None = None

    @property
    def content_length(self) -> int | None:
        """What the header field says. Raises `MalformedBody` where it is no number."""
        told = self.headers.get("content-length")
        if not told:
            return None
        # int() alone would take "+5", "1_0" and other scripts' digits (RFC 9110, section 8.6).
        if not (told.isascii() and told.isdigit() and len(told) < 20):
            raise MalformedBody("Content-Length is not a number")
        return int(told)

    def read(self) -> Flow[bytes]:
        """The whole body, read once.

        Raises:
            BodyTooLarge: it is larger than `max_body`.
            MalformedBody: the server could not read it, or the caller went away.
        """
        if self.body_read is None:
            self.body_read = yield Wait(sync=self._read, aio=self._aread)
        return self.body_read

    def _read(self) -> bytes:
        raise NotImplementedError  # by the mounts' own requests

    def _aread(self) -> Awaitable[bytes]:
        raise NotImplementedError

    def defer(self, callback: Callable[[], None]) -> None:
        """Have *callback* called once when the request is over: its answer sent, or given up."""
        if self._deferred is None:
            self._deferred = []
        self._deferred.append(callback)

    def close(self) -> None:
        """The request is over: the mount calls this when its answer is sent, or never will be."""
        if self._deferred:
            try:
                self._deferred.pop()()
            finally:
                if self._deferred:
                    self.close()


class Response:
    """One answer.

    Attributes:
        status: the HTTP status.
        body: bytes, or an iterable of bytes that streams.
        headers: pairs of field name (lower case) and value.
        reason: the reason phrase; by default the standard one.
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
        """An answer of *value* as JSON."""
        return cls(status, msgspec.json.encode(value), [("content-type", "application/json")])

    @property
    def status_line(self) -> str:
        """Status and reason phrase, as WSGI wants them."""
        reason = self.reason
        if reason is None:
            # A server may refuse a status line without a phrase, and 480 has no standard one.
            reason = _REASONS.get(self.status, "Error" if self.status >= 400 else "OK")
        return f"{self.status} {reason}"

    def header(self, name: str) -> str | None:
        """The value of the field *name*, None where it is not set."""
        name, length = name.lower(), len(name)
        for field, value in self.headers:
            if len(field) == length and field.lower() == name:
                return value
        return None

    def payload(self, method: str) -> bytes:
        """The bytes to send of a body that is whole, their length told in ``Content-Length``.

        In answer to HEAD there are none, whatever their length (RFC 9110, section 9.3.2).
        """
        assert isinstance(self.body, bytes)
        # RFC 9110, section 8.6: these two have no content to be told the length of.
        if self.header("content-length") is None and self.status not in (204, 304):
            self.headers.append(("content-length", str(len(self.body))))
        return b"" if method == "HEAD" else self.body

    def set(self, name: str, value: str) -> None:
        """Set the field *name* (lower case) to *value*, in place of any it has."""
        if self.header(name) is not None:
            self.headers = [pair for pair in self.headers if pair[0].lower() != name]
        self.headers.append((name, value))


_REASONS = {status.value: status.phrase for status in http.HTTPStatus}


def answered(request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
    """The response of *call_next*, or its error as the response the wire format makes of it.

    For a layer that does something to every answer. Other layers let errors pass.
    """
    try:
        return (yield from call_next(request))
    except AnswerableError as error:
        return refusal(request, error)


def refusal(request: Request, error: AnswerableError) -> Response:
    """The answer to a request that failed, as the wire format makes it of the *error*."""
    request.error_code = error.code
    return request.wire.encode_error(request, error)


def http_stack(
    layers: Iterable[Layer[Request, Response]], handler: Handler[Request, Response]
) -> Handler[Request, Response]:
    """`stack`, for HTTP layers.

    Raises:
        ConfigurationError: one of them is none: a scoring layer, for one, sees no requests.
    """
    chosen = checked_layers(layers)
    for layer in chosen:
        if getattr(layer, "scores", False):
            name = type(layer).__name__
            raise ConfigurationError(
                f"layers: {name} is a scoring layer: give it to scoring=[…] or Scored(…)"
            )
    return stack(chosen, handler)


def head_credentials(request: Request, schemes: Collection[str] = ("bearer",)) -> str | None:
    """The key of ``Authorization``, under one of *schemes*, or of ``x-api-key``; the body is not read.

    Raises:
        ConflictingCredentials: both are there and differ.
    """
    key, token = request.headers.get("x-api-key"), token_of(request, schemes)
    if key is not None and token is not None and key != token:
        raise ConflictingCredentials
    return key if token is None else token


def token_of(request: Request, schemes: Collection[str]) -> str | None:
    """The key in the field ``Authorization``.

    Args:
        request: the request.
        schemes: those the key may stand under, lower case. Of ``basic`` it is the password.

    Returns:
        None where there is no such field, or another scheme.
    """
    told = request.headers.get("authorization")
    if told is None:
        return None
    # RFC 9110, section 11.1: the scheme is case-insensitive.
    scheme, _, token = told.partition(" ")
    if scheme.lower() not in schemes:
        return None
    return _password(token) if scheme.lower() == "basic" else token.strip()


def _password(token: str) -> str:
    """The password of ``Basic`` (RFC 7617, section 2). What cannot be read is a key that nobody has."""
    try:
        return base64.b64decode(token.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def error_response(
    request: Request, error: AnswerableError, words: Mapping[str, object] | None = None
) -> Response:
    """``{"error": message}`` with the error's details; a server's fault names the request id.

    Args:
        request: the request.
        error: what became of it.
        words: what a wire format says in place of ``error``.
    """
    members = {**({"error": error.message} if words is None else words), **error.details}
    if isinstance(error, ServingError) and request.id is not None:
        members["request_id"] = request.id
    response = Response.json(members, error.status)
    response.headers.extend(error.headers.items())
    return response


class PlainWire:
    """What is spoken where no dialect is: the key in a header field, errors as plain JSON."""

    max_body = MAX_BODY

    def credentials(self, request: Request) -> Flow[str | None]:
        yield from ()
        return head_credentials(request)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        return error_response(request, error)


PLAIN = PlainWire()
