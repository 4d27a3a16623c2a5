"""HTTP requests, and the wire format interface that layers use.

This module does not depend on web frameworks. `modelgate.mount` creates the requests.
"""

import math
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ..codecs.compression import max_decompressed_size
from ..errors import AnswerableError, BodyTooLarge, MalformedBody
from ..flow import Flow, Wait, run_long
from ..flow.deadline import wait_with_deadline
from .credentials import Headers, credentials_from_headers
from .response import Response, error_response
from .spooled_body import SpooledBody

if TYPE_CHECKING:
    from ..flow.timing import Timing
    from .large_bodies import BodyShare, LargeBodies

__all__ = [
    "MAX_BODY",
    "PLAIN_JSON",
    "UNUSUAL_FIELDS",
    "USUAL_BODY",
    "USUAL_LENGTH_DIGITS",
    "BodySizeLimiter",
    "Headers",
    "PlainJSON",
    "Request",
    "WireFormat",
]

MAX_BODY = 1024 * 1024
"""Default limit of request bodies in bytes, for wire formats that set no other."""

UNUSUAL_FIELDS = ("content-encoding", "expect", "prefer", "transfer-encoding")
"""A request with one of these header fields is not usual; see `Request.is_usual`."""


USUAL_LENGTH_DIGITS = 4
"""Maximum number of digits in the length of a usual body."""

USUAL_BODY = 10**USUAL_LENGTH_DIGITS
"""Size in bytes from which the body of a request is too large for `Request.is_usual`."""


class WireFormat(Protocol):
    """Protocol of a wire format, as layers use it: extract API keys and encode errors.

    Attributes:
        max_body: Maximum body size that the service accepts, in bytes.
    """

    max_body: int

    def credentials(self, request: "Request") -> Flow[str | None]:
        """Return the API key in *request*, or None if there is none.

        Raises:
            ConflictingCredentials: The request has two different keys.
        """

    def encode_error(self, request: "Request", error: AnswerableError) -> Response:
        """Return the response for *error*."""


class PlainJSON:
    """Wire format for requests without a dialect. API keys are in header fields, and errors are plain JSON."""

    max_body = MAX_BODY

    def credentials(self, request: "Request") -> Flow[str | None]:
        yield from ()
        return credentials_from_headers(request.headers)

    def encode_error(self, request: "Request", error: AnswerableError) -> Response:
        return error_response(error, request.id)


PLAIN_JSON = PlainJSON()


class BodySizeLimiter:
    """Counter that limits the size of a body while it is received.

    Attributes:
        limit: Maximum size in bytes; None for no limit.
        received: Number of bytes received so far.
        exceeded: Whether the limit was exceeded.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.received = 0
        self.exceeded = False

    def count(self, chunk: bytes) -> bytes:
        """Count *chunk* and return it. Raises `BodyTooLarge` if the body exceeds the limit."""
        self.received += len(chunk)
        if self.limit is not None and self.received > self.limit:
            self.exceeded = True
            raise BodyTooLarge(self.limit)
        return chunk


class Request:
    """HTTP request. The body is not read until `read` is called.

    Layers are shared by all threads and tasks, so the state of a request is stored here or in its *context*.

    Attributes:
        method: HTTP method, upper case.
        path: Path below the mount point, percent-decoded.
        root_path: Path of the mount point.
        query_string: Query string, percent-encoded, without the question mark.
        headers: Header fields.
        client: Address of the peer; None if the server does not report it.
        scheme: ``http`` or ``https``.
        id: Request id, set by `RequestId`.
        params: Variable parts of the path, by their names in the route.
        started: Time at which the request arrived, on the clock of `time.perf_counter`.
        deadline: Time at which `Deadline` stops waiting and responds with 504, on the clock of *started*;
            infinity for no deadline.
        timing: Durations of the phases of the request, set by `ServerTiming` if the caller requests them.
        error_code: Code of the error in the response; None if there was no error.
        on_exception: Function that reports an exception to the framework's error tracker; None if only the
            log reports it. It is called for responses with status 500.
        wire: Wire format of the request.
        context: State beyond HTTP, by default a new `modelgate.RequestContext`.
        body_read: Body as it was sent; None if it has not been read yet.
        content: Decompressed body; None if it has not been decompressed yet.
        max_body: Maximum size of the body in bytes; None for no limit.
        large_bodies: Budget for large bodies, set by `BodyLimit`; None for no limit.
        body_share: Share of the body in the budget of *large_bodies*; None if the body is not large.
        body_weight: Factor by which the size of the body counts in the budget; see `weigh_body`.
        read_limit: Limit for `read`, a pair ``(timeout, on_wait)``; None for no limit. The body must be
            received within *timeout* seconds of the arrival of the request. Before `read` waits for the body,
            it calls ``on_wait(request)``, which may raise an error. `KeyAuth` sets a limit while it reads the
            key.
        on_close: Callbacks to call when the request ends, even if no response was sent. The last callback is
            called first. A callback that raises an error or is interrupted is called again.
        waits_for_body: Whether `read_arrived` waits until the body has been received.
        whole_response: Whether a layer around an app needs the complete response body. If True, the response
            is not streamed.
    """

    # Defaults on the class, because setting fifteen attributes takes longer than decoding a small body.
    root_path = ""
    query_string = ""
    scheme = "http"
    client: str | None = None
    id: str | None = None
    params: Mapping[str, str] = MappingProxyType({})
    deadline = math.inf
    timing: "Timing | None" = None
    error_code: str | None = None
    on_exception: Callable[[BaseException], object] | None = None
    wire: WireFormat = PLAIN_JSON
    max_body: int | None = None
    large_bodies: "LargeBodies | None" = None
    body_share: "BodyShare | None" = None
    body_weight = 1
    read_limit: "tuple[float, Callable[[Request], None]] | None" = None
    waits_for_body = True
    whole_response = False
    body_read: bytes | None = None
    content: bytes | None = None

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
        context: Any = None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.root_path = root_path
        self.query_string = query_string
        self.scheme = scheme
        self.client = client
        self.context = _new_context() if context is None else context
        self.started = time.perf_counter()
        self.on_close: list[Callable[[], None]] = []

    @property
    def content_length(self) -> int | None:
        """Value of ``Content-Length``, or None. Raises `MalformedBody` if it is not a number."""
        length = self.headers.get("content-length")
        if not length:
            return None
        # int() also accepts "+5", "1_0" and digits of other scripts (RFC 9110, section 8.6).
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise MalformedBody("Content-Length must be a number of bytes")
        return int(length)

    @property
    def needs_length(self) -> bool:
        """Whether responses need a ``Content-Length``, so that clients notice when one is cut off.

        This is the case if the server may end a response by closing the connection. In HTTP/1.0, which nginx
        uses by default, this is the only way to end a response without a ``Content-Length``.
        """
        return False

    def is_usual(self) -> bool:
        """Return whether the request has a small body of plain JSON and accepts a plain JSON response.

        This is read from the header fields. If it is uncertain, return False. See `UNUSUAL_FIELDS` and
        `USUAL_BODY`.
        """
        return False

    def read_arrived(self) -> bytes | None:
        """Return the complete body if it has arrived in one part, else None.

        Call this only if `is_usual` is True.

        If the result is None, `read` must be called, which returns the body or raises the error.

        Under WSGI, this waits for the body, and blocks the thread like `read`; see `waits_for_body`.
        """
        return None

    def read(self) -> Flow[bytes]:
        """Return the complete body as it was sent. It is read only once.

        A body of more than 1 MiB is stored in a temporary file until `large_bodies` admits it.

        Raises:
            BodyTooLarge: The body is larger than `max_body`.
            MalformedBody: The server could not read the body, or the caller disconnected.
            Overloaded: Too many large bodies are waiting.
        """
        if self.body_read is None:
            body = yield self.limit_read(Wait(sync=self._read, aio=self._aread))
            self.body_read = body if isinstance(body, bytes) else (yield from self.load(body))
        return self.body_read

    def load(self, body: SpooledBody) -> Flow[bytes]:
        """Return the content of *body* as soon as `large_bodies` admits it. See `read`."""
        bodies = self.large_bodies
        if bodies is not None:
            coding, size = self.headers.get("content-encoding"), body.size
            if coding is not None and coding.lower() != "identity":
                largest = max_decompressed_size(size, bodies.max_expansion)
                size = max(size, min(self.max_body or self.wire.max_body, largest))
            self.body_share = yield from bodies.admit(body.size, size * self.body_weight, self.on_close)
        return (yield from run_long(body.load))

    def weigh_body(self, weight: int) -> None:
        """Count the body *weight* times in `large_bodies`, because its response takes more memory than usual."""
        self.body_weight = weight
        if self.body_share is not None and self.large_bodies is not None:
            self.large_bodies.resize(self.body_share, self.body_share.size * weight)

    def limit_read(self, wait: Wait) -> Wait:
        """Return *wait*, which reads the body, with the `read_limit` of the request, if there is one."""
        if self.read_limit is None:
            return wait
        timeout, on_wait = self.read_limit
        return wait_with_deadline(wait, self.started + timeout, partial(on_wait, self))

    def _read(self) -> bytes | SpooledBody:
        raise NotImplementedError  # overridden by the request classes of `modelgate.mount`

    def _aread(self) -> Coroutine[Any, Any, bytes | SpooledBody]:
        raise NotImplementedError

    def close(self) -> None:
        """Call the callbacks of `on_close`.

        The mount calls this method when the request ends, and once more if the first call was interrupted.
        """
        raised = None
        for callback in self.on_close[::-1]:
            try:
                callback()
                self.on_close.remove(callback)
            except BaseException as error:
                raised = error
        if raised is not None:
            raise raised


def _new_context() -> Any:
    # Imported here, because this package must not depend on `modelgate.context`. The mounts pass a context.
    return import_module("modelgate.context").RequestContext()
