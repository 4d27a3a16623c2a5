"""One deployment, asked over HTTP: what is sent, sent again, and parted. Nothing here blocks or awaits."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import msgspec

from ..errors import (
    AnswerableError,
    BatchTooLarge,
    BodyTooLarge,
    ConfigurationError,
    InvalidInput,
    MalformedBody,
    ModelgateError,
    RequestError,
)
from ..flow import Flow, Wait, run
from .errors import ConnectionFailed, UnexpectedAnswer, error_of, is_passing, shifted
from .predictions import Predictions, decoded, joined
from .retry import Retry
from .rows import Rows, rows_of

__all__ = ["Answer", "Progress", "Session", "endpoint_of", "is_too_large", "sleep"]

Progress: TypeAlias = Callable[[int, int], None]

_PROBLEM = "application/problem+json"


class Answer(NamedTuple):
    """What a server answers.

    Args:
        status: of HTTP.
        headers: by names in whatever case.
        content: all of it.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class Session:
    """Asks one deployment.

    Args:
        url: as for `Client`.
        key: as for `Client`.
        retry: how often and how long to try.
        http: the client of httpx, blocking or not, that sends.
        batch_rows: the most rows of one request.
        batch_bytes: the most bytes of one request.
        on_wait: is called with the seconds of each wait before another attempt, and why; it may raise that.

    Raises:
        ConfigurationError: an option cannot work.
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
    ) -> None:
        self.url = url
        self.http = http
        self._endpoint = endpoint_of(url)
        self._headers = {} if key is None else {"authorization": f"Bearer {_checked_key(key)}"}
        self._retry = retry
        self._on_wait = on_wait
        for option, told in (("batch_rows", batch_rows), ("batch_bytes", batch_bytes)):
            if type(told) is not int or told < 1:
                raise ConfigurationError(f"{option}={told!r}: accepts a whole number from 1")
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes

    def predict(self, given: Any, progress: Progress | None = None) -> Flow[Predictions]:
        """See `Client.predict`."""
        until = self._retry.until()
        rows: Rows = yield from run(rows_of, given)
        parts: list[Predictions] = []
        at, size = 0, self._batch_rows
        while at < len(rows):
            batch = rows.part(at, at + size)
            try:
                parts.append((yield from self._batch(batch, until)))
            except RequestError as error:
                if not is_too_large(error) or len(batch) == 1:
                    if len(rows) > 1 and isinstance(error, InvalidInput | MalformedBody):
                        shifted(error, at, batch)
                    raise
                size = _smaller(error, len(batch))
                continue
            at += len(batch)
            if progress is not None:
                progress(at, len(rows))
        return joined(parts)

    def _batch(self, rows: Rows, until: float) -> Flow[Predictions]:
        body = yield from run(rows.body)
        if len(body) > self._batch_bytes and len(rows) > 1:
            raise BodyTooLarge(self._batch_bytes)
        response = yield from self.ask(body, rows.media_type, "application/json", until)
        try:
            told = yield from run(decoded, response.content)
        except msgspec.DecodeError as error:
            raise UnexpectedAnswer(
                200, f"{self._endpoint} answered what is no answer of the dialect datarobot: {error}"
            ) from None
        if len(told) != len(rows):
            raise UnexpectedAnswer(
                200, f"{self._endpoint} answered {len(rows)} rows with {len(told)} predictions"
            )
        told.version = response.headers.get("x-model-version")
        told.request_ids = [response.headers["x-request-id"]] if "x-request-id" in response.headers else []
        return told

    def ask(self, body: bytes, media_type: str, accept: str, until: float | None = None) -> Flow[Answer]:
        """The answer of the gate to *body*, sent again as often as is allowed.

        A prediction changes nothing at the server, so that it may be asked for again where it is not
        known whether it was made.

        Args:
            body: what is sent.
            media_type: of the body.
            accept: the media type wanted.
            until: when to give up, on the clock of `Retry`.

        Raises:
            ModelgateError: any; see `modelgate.client.errors`.
        """
        headers = {**self._headers, "content-type": media_type, "accept": f"{accept}, {_PROBLEM}"}
        until = self._retry.until() if until is None else until
        attempt = 0
        while True:
            attempt += 1
            try:
                return (yield from self._once(body, headers, accept, self._retry.left(until)))
            except ModelgateError as error:
                pause = self._retry.pause(attempt, getattr(error, "retry_after", None), until)
                if pause is None or not is_passing(error):
                    if attempt > 1:
                        error.add_note(f"given up after {attempt} attempts")
                    raise
                self._on_wait(pause, error)
            yield from sleep(pause)

    def _once(self, body: bytes, headers: dict[str, str], accept: str, timeout: float) -> Flow[Answer]:
        answer: Answer = yield from self._send(body, headers, timeout)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status == 200 and kind == accept:
            return answer
        keyed = "authorization" in headers
        raise error_of(answer.status, answer.headers, answer.content, self._endpoint, keyed=keyed)

    def _send(self, body: bytes, headers: dict[str, str], timeout: float) -> Flow[Answer]:
        """The answer, whatever it is. A redirect is an answer too, and is not followed."""
        import httpx

        # httpx bounds each read, and not their sum. To connect has less, so that which of them failed is known.
        each = httpx.Timeout(timeout, connect=timeout / 2)
        request = self.http.build_request("POST", self._endpoint, content=body, headers=headers, timeout=each)
        host = urlsplit(self._endpoint).netloc
        try:
            return (  # type: ignore[no-any-return]
                yield Wait(
                    sync=partial(_blocking, self.http, request, timeout),
                    aio=partial(_awaited, self.http, request, timeout),
                )
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ConnectionFailed(
                f"{host} cannot be reached ({_why(error)}): see that the address is right and the server runs",
                retried=True,
            ) from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise ConnectionFailed(
                f"{host} cut the connection before it had answered ({_why(error)}): try again, or see its log",
                retried=True,
            ) from None
        except (httpx.TimeoutException, TimeoutError):
            raise ConnectionFailed(
                f"{host} did not answer within {timeout:.3g} s: give it more time, or fewer rows at once",
                retried=False,
            ) from None
        except httpx.HTTPError as error:
            raise ConnectionFailed(f"{host} cannot be asked ({_why(error)})", retried=False) from None


def _blocking(http: Any, request: Any, timeout: float) -> Answer:
    until = time.monotonic() + timeout
    response = http.send(request, stream=True, follow_redirects=False)
    with closing(response):
        parts: list[bytes] = []
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() > until:
                raise TimeoutError
    return Answer(response.status_code, response.headers, b"".join(parts))


async def _awaited(http: Any, request: Any, timeout: float) -> Answer:
    async with asyncio.timeout(timeout):
        response = await http.send(request, follow_redirects=False)
    return Answer(response.status_code, response.headers, response.content)


def sleep(seconds: float) -> Flow[None]:
    """Let *seconds* pass."""
    yield Wait(sync=partial(time.sleep, seconds), aio=partial(asyncio.sleep, seconds))


def endpoint_of(url: str) -> str:
    """Where the deployment at *url* is asked for predictions.

    Raises:
        ConfigurationError: *url* is none of a deployment.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except (ValueError, AttributeError):
        host = None
    accepts = "accepts that of a deployment, https://host/ml/churn"
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(f"url={url!r}: {accepts}")
    if parts.username is not None or parts.query or parts.fragment:
        # Not shown: what stands there may be a secret.
        raise ConfigurationError(f"url: {accepts}, without user, password, '?' and '#'; a key goes into key=")
    above, _, name = parts.path.rstrip("/").rpartition("/")
    if not name:
        raise ConfigurationError(f"url={url!r}: names no deployment: {accepts}")
    above = above if above.endswith("/deployments") else f"{above}/deployments"
    return f"{parts.scheme}://{parts.netloc}{above}/{name}/predictions"


def _checked_key(key: str) -> str:
    if (
        not isinstance(key, str)
        or not key.isascii()
        or not key.isprintable()
        or key.strip() != key
        or not key
    ):
        raise ConfigurationError("key: accepts printable ASCII without white space at its ends, or None")
    return key


def _smaller(error: RequestError, rows: int) -> int:
    """How many rows to send in place of so many: as many as the server takes, or half of them."""
    told = error.details.get("max_rows")
    return told if type(told) is int and 0 < told < rows else rows // 2


def is_too_large(error: AnswerableError) -> bool:
    """Whether the same rows would pass in smaller parts."""
    return isinstance(error, BodyTooLarge | BatchTooLarge) or "max_rows" in error.details


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
