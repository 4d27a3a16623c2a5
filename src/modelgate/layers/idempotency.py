"""Idempotency keys, which allow callers to retry a request safely."""

import contextlib
import hashlib
import logging
import math
import os
import re
import sys
from collections.abc import Callable
from functools import cache, partial
from secrets import token_bytes
from time import perf_counter
from typing import Literal, TypeVar

import msgspec

from ..backends.circuit_breaker import StorageUnavailable
from ..errors import (
    ConfigurationError,
    HumilityError,
    IdempotencyKeyReused,
    InvalidInput,
    Overloaded,
    RequestInProgress,
    StoreError,
)
from ..flow import Flow, Handler, WorkerPool, drive, run
from ..http import Request, Response, call_encoding_errors
from ..idempotency import AnswerStore, MemoryAnswerStore, create_answer_store
from ..limiting.worker_count import detect_worker_count
from ..spelling import suggest_options
from ..validation import require_positive_int, require_positive_seconds
from ._caller_identity import caller_key

__all__ = ["Idempotency"]

logger = logging.getLogger("modelgate")

_KEY = re.compile(r"[\x20-\x7e]{1,255}")

_RESERVED, _ANSWERED = b"R", b"A"
"""First byte of a record: ``_RESERVED`` for a request in progress, ``_ANSWERED`` for one with an answer. The
fingerprint of the request follows, and then a random token or the answer."""

_GRACE, _MAX_LEASE = 30.0, 3600.0
"""Seconds for which a request in progress reserves its key: ``_GRACE`` seconds beyond its deadline, or
``_MAX_LEASE`` seconds if it has none. Then the key can be used again, because the process of the request has
probably ended. ``_GRACE`` is not 0, because a request may exceed its deadline under WSGI."""

_FORMAT = 1
"""Version of the record format. Records of other versions are not found."""

_LARGE_BODY = 1 << 20

_OF_ONE_RESPONSE = re.compile(r"(x-)?ratelimit|retry-after|server-timing|set-cookie|date|x-request-id")
"""Header fields that are not stored with an answer, because they are only true for its first response."""


_CREDENTIALS = ("authorization", "cookie", "x-api-key", "api-key", "apikey", "x-api-token", "x-auth-token")
"""Header fields by which an app, or a layer of a deployment, may tell its callers apart."""

_VARYING = ("content-type", "content-encoding", "accept", "inference-header-content-length")
"""Header fields of a request that the answer depends on."""

_releases = WorkerPool(threads=2)

T = TypeVar("T")


class _Answer(msgspec.Struct, array_like=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    reason: str | None
    error_code: str | None


@suggest_options
class Idempotency:
    """Repeat the answer to a request for later requests with the same ``Idempotency-Key``.

    A repeated request is not scored again. If this layer is outside of `RateLimit`, it is not charged either.
    The response has the header ``Idempotency-Replayed: true``. The layer applies to POST requests for
    predictions if they have the header ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header-07).

    - The same key of different callers, or sent to different paths, counts as different keys.
    - A request with the same key but another body, query string or media type gets 422
      (`IdempotencyKeyReused`).
    - While the first request is in progress, a repeated request gets 409 with ``Retry-After``
      (`RequestInProgress`). If the process of the first request ends, the request counts as in progress until
      30 seconds after its `Deadline`, or for an hour if it has none.
    - Without a `KeyAuth` outside of this layer, callers are identified by their address, cookies and other
      credentials in header fields.
    - Around an app that is not a gate, responses to requests with the header are not streamed.
    - Predictions (status 2xx) and rejections by humility rules are stored. Other errors are not stored, so
      that the request can be tried again. Answers that are streamed (more than 4,096 rows) or larger than
      *max_answer* are not stored. A repeated request is then scored again.

    Args:
        storage: URI of the storage: ``"memory://"``, for this process; ``"redis://…"``, ``"sqlite:///…"`` or
            ``"postgresql://…"``, for all processes. The storage contains predictions.
        ttl: Seconds for which an answer is stored.
        max_answer: Maximum size of a stored answer in bytes.
        max_bytes: Maximum total size of the answers in memory, in bytes. The least recently used answers are
            discarded first.
        on_storage_error: Behaviour while the storage does not respond: ``"local"`` stores answers in the
            memory of this process, so that a request repeated in another process is scored and charged again;
            ``"deny"`` responds with 503 to requests that have the header.
        name: Name of the gate in the storage. Gates with the same name share their answers.
        clock: Function that returns the time in seconds, for answers in memory.

    Attributes:
        replayed: Number of answers that this process has repeated.

    Raises:
        ConfigurationError: An option is invalid.
    """

    stores_answers = True

    def __init__(
        self,
        storage: str = "memory://",
        *,
        ttl: float = 24 * 3600,
        max_answer: int = 1024 * 1024,
        max_bytes: int = 64 * 1024 * 1024,
        on_storage_error: Literal["local", "deny"] = "local",
        name: str = "",
        clock: Callable[[], float] | None = None,
    ) -> None:
        require_positive_seconds("ttl", ttl)
        require_positive_int("max_answer", max_answer)
        require_positive_int("max_bytes", max_bytes)
        if on_storage_error not in ("local", "deny"):
            raise ConfigurationError(f"on_storage_error must be local or deny (got {on_storage_error!r})")
        if not isinstance(name, str):
            raise ConfigurationError(f"name must be a string (got {name!r})")
        self._ttl = ttl
        self._max_answer = max_answer
        self._closed = on_storage_error == "deny"
        self._name = name
        self._identity = caller_key("caller")
        self._local = MemoryAnswerStore(max_bytes, *([] if clock is None else [clock]))
        self._shared = create_answer_store(storage)
        self.replayed = 0
        workers = detect_worker_count(os.environ, sys.argv)
        if self._shared is None and workers > 1:
            _warn_once(workers)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        key = request.headers.get("idempotency-key")
        if key is None or request.method != "POST" or request.context.action != "predict":
            return call_next(request)
        return self._answer_once(request, call_next, key)

    def _answer_once(
        self, request: Request, call_next: Handler[Request, Response], key: str
    ) -> Flow[Response]:
        if not _KEY.fullmatch(key):
            raise InvalidInput("Idempotency-Key must be 1 to 255 printable ASCII characters")
        body = yield from request.read()
        name = self._record_key(request, key)
        if len(body) < _LARGE_BODY:
            fingerprint = _fingerprint(request, body)
        else:
            fingerprint = yield from run(_fingerprint, request, body)
        reservation = _RESERVED + fingerprint + token_bytes(16)
        store, record = yield from self._reserve(request, name, reservation)
        if record is not None:
            return self._replay(request, record, fingerprint)
        # Only a whole body can be stored.
        request.whole_response = True
        response = yield from self._release_on_error(
            store, name, reservation, call_encoding_errors(request, call_next)
        )
        yield from self._finish(store, name, reservation, self._encode(request, response, fingerprint))
        return response

    def _record_key(self, request: Request, key: str) -> str:
        principal = request.context.principal
        # Include the permissions: an API key must not get an answer that it may no longer request.
        permitted = None if principal is None else (principal.deployments, principal.scopes)
        credentials = [request.headers.get(name) for name in _CREDENTIALS] if principal is None else None
        caller = self._identity(request), permitted, credentials
        path = request.root_path + request.path
        parts = _FORMAT, self._name, caller, path, request.context.deployment, key
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def _reserve(
        self, request: Request, name: str, reservation: bytes
    ) -> Flow[tuple[AnswerStore, bytes | None]]:
        """Reserve *name*. Return the store that was used, and the record that already existed (or None)."""
        remaining = max(0.0, request.deadline - perf_counter())
        lease = _MAX_LEASE if remaining == math.inf else remaining + _GRACE
        if self._shared is not None:
            # If the storage did not respond to an earlier request, its record is in memory.
            record = self._local.find(name)
            if record is not None:
                return self._local, record
            if self._shared.breaker.allow():
                reserving = self._shared.reserve(name, reservation, lease)
                try:
                    # The storage may have stored the reservation, even if its reply is not awaited.
                    record = yield from self._release_on_error(self._shared, name, reservation, reserving)
                except StorageUnavailable:
                    pass
                else:
                    return self._shared, record
            if self._closed:
                raise StoreError
        return self._local, (yield from self._local.reserve(name, reservation, lease))

    def _release_on_error(self, store: AnswerStore, name: str, reservation: bytes, flow: Flow[T]) -> Flow[T]:
        """Run *flow*. If it raises an error or is closed, release the reservation."""
        try:
            return (yield from flow)
        except StorageUnavailable:
            raise
        except GeneratorExit:
            release = self._finish(store, name, reservation, None)
            if store is self._local:
                yield from release
            else:
                # A flow that is closed cannot wait.
                with contextlib.suppress(Overloaded):
                    _releases.submit(partial(drive, release))
            raise
        except BaseException:
            yield from self._finish(store, name, reservation, None)
            raise

    def _replay(self, request: Request, record: bytes, fingerprint: bytes) -> Response:
        """Return the response that is stored in *record*.

        Raises:
            IdempotencyKeyReused: The record belongs to a request with another *fingerprint*.
            RequestInProgress: The earlier request is still in progress.
        """
        if record[1:33] != fingerprint:
            raise IdempotencyKeyReused
        if record[:1] == _RESERVED:
            raise RequestInProgress
        answer = msgspec.msgpack.decode(record[33:], type=_Answer)
        request.error_code = answer.error_code
        self.replayed += 1
        headers = [*answer.headers, ("idempotency-replayed", "true")]
        return Response(answer.status, answer.body, headers, answer.reason)

    def _encode(self, request: Request, response: Response, fingerprint: bytes) -> bytes | None:
        """Return the record to store for *response*, or None if the response must not be stored."""
        code, body = request.error_code, response.body
        is_answer = 200 <= response.status < 300 if code is None else code == HumilityError.code
        if not is_answer or not isinstance(body, bytes) or len(body) > self._max_answer:
            return None
        headers = [pair for pair in response.headers if not _OF_ONE_RESPONSE.match(pair[0].lower())]
        answer = _Answer(response.status, headers, body, response.reason, code)
        return _ANSWERED + fingerprint + msgspec.msgpack.encode(answer)

    def _finish(self, store: AnswerStore, name: str, reservation: bytes, record: bytes | None) -> Flow[None]:
        """Replace the reservation by *record*, or delete it if *record* is None."""
        for target in (store, self._local):
            try:
                if record is None:
                    yield from target.release(name, reservation)
                else:
                    yield from target.replace(name, reservation, record, self._ttl)
                return
            except StorageUnavailable:
                # Next, try the memory of this process, which may receive the repeated request.
                continue


def _fingerprint(request: Request, body: bytes) -> bytes:
    """Return a digest of *body* and of everything else that the answer depends on."""
    fields = map(request.headers.get, _VARYING)
    digest = hashlib.sha256(repr((request.query_string, *fields)).encode("utf-8", "surrogatepass"))
    digest.update(body)
    return digest.digest()


@cache
def _warn_once(workers: int) -> None:
    logger.warning(
        "idempotency: answers are stored in the memory of each of %d workers, so a request that is repeated"
        ' in another worker is scored again: use Idempotency("redis://…") to share the answers',
        workers,
    )
