"""Client session for one deployment. It batches rows, retries requests, and decodes responses."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import msgspec

from ..errors import (
    AnswerableError,
    BatchTooLarge,
    BodyTooLarge,
    ConfigurationError,
    HumilityError,
    InvalidInput,
    MalformedBody,
    ModelgateError,
    PredictionError,
    RequestError,
)
from ..flow import Flow, Wait, run
from ..http.client_address import is_loopback
from ..http.credentials import KEY_HEADERS
from ..validation import require_positive_int
from .errors import ConnectionFailed, UnexpectedResponse, error_from_response, is_transient, shift_rows
from .predictions import Predictions, decode_predictions, join_predictions
from .retry import Retry
from .rows import Rows, to_rows

__all__ = [
    "HTTPResponse",
    "Progress",
    "Session",
    "deployment_url",
    "is_too_large",
    "sleep",
    "warn_of_plain_http",
]

logger = logging.getLogger("modelgate")

Progress: TypeAlias = Callable[[int, int], None]

_PROBLEM = "application/problem+json"

_ROW_ERRORS = (InvalidInput, MalformedBody, PredictionError, HumilityError)
"""Errors that may refer to rows by number."""


class HTTPResponse(NamedTuple):
    """Response of a server.

    Args:
        status: HTTP status.
        headers: Headers with case-insensitive names.
        content: Complete body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class Session:
    """Client session for one deployment.

    Args:
        url: URL of the deployment; see `Client`.
        key: API key; None if the gate needs no key.
        retry: Retry policy.
        http: httpx client that sends the requests, blocking or asyncio.
        batch_rows: Maximum rows per request.
        batch_bytes: Maximum bytes per request.
        on_wait: Function called before each pause for a retry, with the pause in seconds and the error of the
            failed attempt. The function can raise the error to stop retrying.
        key_header: Header field in which the key is sent, one of `KEY_HEADERS`.
        query: Default query string of the requests.

    Raises:
        ConfigurationError: An option is invalid.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        retry: Retry,
        http: Any,
        *,
        batch_rows: int,
        batch_bytes: int,
        on_wait: Callable[[float, ModelgateError], None] = lambda *_: None,
        key_header: str = "authorization",
        query: str = "",
    ) -> None:
        self.url = url
        self._query = query
        self.http = http
        self._endpoint = deployment_url(url)
        if key_header not in KEY_HEADERS:
            raise ConfigurationError(
                f'key_header must be "authorization" or "x-api-key" (got {key_header!r})'
            )
        self._key_headers: dict[str, str] = {}
        if key is not None:
            scheme = "Bearer " if key_header == "authorization" else ""
            self._key_headers[key_header] = scheme + _check_key(key)
        self._has_worked = False
        self._retry = retry
        self._on_wait = on_wait
        require_positive_int("batch_rows", batch_rows)
        require_positive_int("batch_bytes", batch_bytes)
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes

    def predict(
        self, data: Any, progress: Progress | None = None, options: Mapping[str, Any] | None = None
    ) -> Flow[Predictions]:
        """Return the predictions for *data*; see `Client.predict`.

        Args:
            data: Rows to score.
            progress: Function called after each batch.
            options: Options of the query string by name. Options that are None or empty are not sent.
        """
        query = urlencode({name: value for name, value in (options or {}).items() if value}, doseq=True)
        deadline = self._retry.start_deadline()
        rows: Rows = yield from run(to_rows, data)
        parts: list[Predictions] = []
        start, size = 0, self._batch_rows
        while start < len(rows):
            batch = rows.part(start, start + size)
            try:
                parts.append((yield from self._predict_batch(batch, query, deadline)))
            except (RequestError, PredictionError) as error:
                if not is_too_large(error) or len(batch) == 1:
                    if len(rows) > 1 and isinstance(error, _ROW_ERRORS):
                        shift_rows(error, start, batch)
                    raise
                size = _smaller_batch(error, len(batch))
                continue
            start += len(batch)
            if progress is not None:
                progress(start, len(rows))
        return join_predictions(parts)

    def _predict_batch(self, rows: Rows, query: str, deadline: float) -> Flow[Predictions]:
        body = yield from run(rows.body)
        if len(body) > self._batch_bytes and len(rows) > 1:
            raise BodyTooLarge(self._batch_bytes)
        response = yield from self.post(
            body, rows.media_type, "application/json", query=query, deadline=deadline
        )
        try:
            predictions = yield from run(decode_predictions, response.content)
        except msgspec.DecodeError as error:
            if response.content.startswith(b'{"forecast":'):
                problem = "the response has forecasts: call forecast instead of predict"
            else:
                problem = f"the response does not have the format of the dialect native: {error}"
            raise UnexpectedResponse(200, f"{self.url}: {problem}") from None
        if len(predictions) != len(rows):
            raise UnexpectedResponse(
                200,
                f"{self.url}: the response to {len(rows)} rows has {len(predictions)} predictions",
            )
        return predictions

    def post(
        self,
        body: bytes,
        media_type: str,
        accept: str,
        *,
        operation: str = "predict",
        query: str = "",
        deadline: float | None = None,
    ) -> Flow[HTTPResponse]:
        """Send *body* with retries, and return the response of the gate.

        Scoring changes nothing, so a request can be retried even if the server may have processed it.

        Args:
            body: Body of the request.
            media_type: Media type of the body.
            accept: Media type of the response.
            operation: Last part of the path, ``"predict"`` or ``"curves"``.
            query: Query string of the URL.
            deadline: Time by which the call must end, on the clock of `Retry`. By default, the retry policy
                sets it.

        Raises:
            ModelgateError: Any error of `modelgate.client.errors`.
        """
        query = query or self._query
        url = f"{self._endpoint}/{operation}{query and '?'}{query}"
        headers = {
            "content-type": media_type,
            "accept": f"{accept}, {_PROBLEM}",
            # The key tells proxies that they may send the request again, and which requests are repetitions.
            "idempotency-key": uuid4().hex,
        }
        deadline = self._retry.start_deadline() if deadline is None else deadline
        attempt = 0
        while True:
            attempt += 1
            timeout = self._retry.attempt_timeout(deadline)
            try:
                return (yield from self._attempt(url, body, headers, accept, timeout))
            except ModelgateError as error:
                pause = self._retry.pause(attempt, getattr(error, "retry_after", None), deadline)
                if pause is None or not is_transient(error):
                    if attempt > 1:
                        error.add_note(f"given up after {attempt} attempts")
                    raise
                self._on_wait(pause, error)
            yield from sleep(pause)

    def _attempt(
        self, url: str, body: bytes, headers: dict[str, str], accept: str, timeout: float
    ) -> Flow[HTTPResponse]:
        response: HTTPResponse = yield from self._send(url, body, headers, timeout)
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status == 200 and content_type == accept:
            self._has_worked = True
            return response
        raise error_from_response(
            response.status,
            response.headers,
            response.content,
            url.partition("?")[0],
            key_header=next(iter(self._key_headers), None),
            has_worked=self._has_worked,
        )

    def _send(self, url: str, body: bytes, headers: dict[str, str], timeout: float) -> Flow[HTTPResponse]:
        """Send one request and return the response, whatever its status. Redirects are not followed."""
        import httpx

        # httpx limits the time of each read. _send_blocking and _send_async limit the time of all reads
        # together.
        # Connecting has a shorter limit, so that a server that is down is not mistaken for a slow one.
        limits = httpx.Timeout(timeout, connect=timeout / 2)
        # No local variable holds the key: error tracking may store the local variables of a traceback.
        request = self.http.build_request(
            "POST", url, content=body, headers={**self._key_headers, **headers}, timeout=limits
        )
        host = urlsplit(url).netloc
        try:
            return (  # type: ignore[no-any-return]
                yield Wait(
                    sync=partial(_send_blocking, self.http, request, timeout),
                    aio=partial(_send_async, self.http, request, timeout),
                )
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            address = "" if self._has_worked else "the address and "
            raise ConnectionFailed(
                f"{host} cannot be reached ({_describe(error)}): check {address}that the server is running",
                retried=True,
            ) from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise ConnectionFailed(
                f"{host} closed the connection before responding ({_describe(error)}): try again, or check"
                " the server's log",
                retried=True,
            ) from None
        except (httpx.TimeoutException, TimeoutError):
            raise ConnectionFailed(
                f"{host} did not respond within {timeout:.3g} s: use a longer timeout, or send fewer rows"
                " per request",
                retried=False,
            ) from None
        except httpx.HTTPError as error:
            raise ConnectionFailed(f"{host}: request failed: {_describe(error)}", retried=False) from None


def _send_blocking(http: Any, request: Any, timeout: float) -> HTTPResponse:
    deadline = time.monotonic() + timeout
    response = http.send(request, stream=True, follow_redirects=False)
    with closing(response):
        chunks: list[bytes] = []
        for chunk in response.iter_bytes():
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError
    return HTTPResponse(response.status_code, response.headers, b"".join(chunks))


async def _send_async(http: Any, request: Any, timeout: float) -> HTTPResponse:
    async with asyncio.timeout(timeout):
        response = await http.send(request, follow_redirects=False)
    return HTTPResponse(response.status_code, response.headers, response.content)


def sleep(seconds: float) -> Flow[None]:
    """Wait for *seconds*."""
    yield Wait(sync=partial(time.sleep, seconds), aio=partial(asyncio.sleep, seconds))


def deployment_url(url: str) -> str:
    """Return the URL of the deployment's metadata. The URLs of requests begin with it.

    Raises:
        ConfigurationError: *url* is not the URL of a deployment.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except (ValueError, AttributeError):
        host = None
    rule = "url must be the URL of a deployment, such as https://host/ml/churn"
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(f"{rule} (got {url!r})")
    if parts.username is not None or parts.query or parts.fragment:
        # These parts may be secret, so the message does not quote them.
        raise ConfigurationError(f"{rule}, without user, password, '?' and '#'; pass the key as key=")
    try:
        _ = parts.port
    except ValueError:
        # Not quoted either: it may be the start of a password that contains a slash.
        raise ConfigurationError(f"{rule}, whose port is a number from 0 to 65535") from None
    parent, _, name = parts.path.rstrip("/").rpartition("/")
    if not name:
        raise ConfigurationError(f"{rule}: add the deployment's name to the path (got {url!r})")
    parent = parent if parent.endswith("/deployments") else f"{parent}/deployments"
    return f"{parts.scheme}://{parts.netloc}{parent}/{name}"


def warn_of_plain_http(url: str) -> None:
    """Log a warning if a key that is sent to *url* can be read on the network."""
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname is not None and not is_loopback(parts.hostname):
        logger.warning(
            "client: the API key is sent to %s without encryption: use https://, unless the network is private",
            parts.hostname,
        )


def _check_key(key: str) -> str:
    if (
        not isinstance(key, str)
        or not key.isascii()
        or not key.isprintable()
        or key.strip() != key
        or not key
    ):
        raise ConfigurationError("key must be printable ASCII without surrounding white space, or None")
    return key


def _smaller_batch(error: AnswerableError, rows: int) -> int:
    """Return the server's maximum number of rows if it is less than *rows*, else half of *rows*."""
    max_rows = error.details.get("max_rows")
    return max_rows if type(max_rows) is int and 0 < max_rows < rows else rows // 2


def is_too_large(error: AnswerableError) -> bool:
    """Return True if the request may succeed with fewer rows."""
    return isinstance(error, BodyTooLarge | BatchTooLarge) or "max_rows" in error.details


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__
