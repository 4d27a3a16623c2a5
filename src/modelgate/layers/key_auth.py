"""API-key authentication."""

import logging
import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ..context import RequestContext
from ..errors import (
    AnswerableError,
    ConfigurationError,
    DeadlineExceeded,
    InsufficientScope,
    KeyInactive,
    Overloaded,
    ServingError,
    Unauthorized,
)
from ..flow import Flow, Handler, wait_for
from ..flow.deadline import DeadlinePassed
from ..http import PLAIN_JSON, Request, Response, describe_missing_key
from ..http.client_address import forwarded_hop, rate_limit_address
from ..http.credentials import KEY_HEADERS, is_json_web_token, key_from_header
from ..keys import KeyStore, MemoryKeyStore, Principal, key_store
from ..keys.digest import MIN_KEY_LENGTH
from ..keys.principal import is_scope
from ..spelling import suggest_options
from ..validation import require_positive_int, require_positive_seconds
from ._key_lookups import AddressSlots, LookupQueue, LookupTurn

__all__ = ["KeyAuth"]

logger = logging.getLogger("modelgate")

_LATE_BODY = (
    "Missing API key: the body, which may contain it, was not received in time. Send the key in a header"
)
_FOR_A_PLATFORM = (
    "Invalid API key: a JSON Web Token was sent. If your platform needs the token, also send the API key, in"
    " the header field x-api-key"
)
_REALM = re.compile(r"[ !#-\[\]-~]+")

_MAX_RUNNING_LOOK_UPS = 16
"""Maximum number of running look-ups of new keys, several for each thread of a `SqlKeyStore`."""
_MAX_ACCEPTED = 10_000
"""Maximum number of accepted keys that are remembered, equal to the cache size of a `SqlKeyStore`."""


@suggest_options
class KeyAuth:
    """Require a valid API key, and store its principal in the request's context.

    The key is read from ``Authorization: Bearer`` or ``x-api-key``, unless the dialect of the request defines
    other places. If the path names a deployment that the key does not permit, the request is rejected. The
    response does not reveal whether the deployment exists.

    Around an app that is not a gate, the key must cover *scope*. If *scope* is None, only a key for
    everything (``"*"``) is accepted.

    The limits *max_bodies* and *max_look_ups* apply to requests whose key is not known to be valid. Their
    defaults are lower than the limit of `Admission`, so that callers without a valid key cannot block other
    callers. Requests above these limits get 503.

    A key that was accepted before is looked up immediately. Look-ups of new keys are queued, and addresses
    take turns. With `AuthFailureLimit`, the number of look-ups that an address has at once is at most the
    number of failures still allowed for it.

    Args:
        keys: ``{key: deployments}``, ``"env:VARIABLE"``, the URL of a database, or a key store.
        scope: Scope that every key must cover, such as ``"churn:predict"``; ``"*"`` for everything.
        realm: Realm in the challenge of a 401.
        max_bodies: Maximum number of bodies that are read concurrently to find a key. One address may use a
            quarter of them.
        body_timeout: Timeout in seconds, from the arrival of the request, for receiving a body that may
            contain the key. After that, the response is 401.
        max_look_ups: Maximum number of running and queued look-ups of new keys. One address may use half of
            them.
        split_forwarded: Whether *max_bodies* and *max_look_ups* count callers behind one proxy separately: by
            the address of the connection together with the last address in ``X-Forwarded-For`` or
            ``Forwarded``. Set this option if the app may be behind proxies that are unknown.
        key_header: The only header field in which the key is accepted, ``"x-api-key"`` or
            ``"authorization"``; None to read the key from the places that the wire format defines. If a
            platform in front of the app uses one of the fields itself, choose the other. In
            ``Authorization``, the scheme is ``Bearer``, ``Token``, or ``Basic`` with the key as the password.

    Attributes:
        keys: Key store.
        key_header: The argument *key_header*.

    Raises:
        ConfigurationError: An option is invalid, or *keys* contains an invalid key.
    """

    def __init__(
        self,
        keys: KeyStore | Mapping[str, str | Sequence[str]] | str,
        *,
        scope: str | None = None,
        realm: str = "modelgate",
        max_bodies: int = 200,
        body_timeout: float = 5.0,
        max_look_ups: int = 500,
        split_forwarded: bool = False,
        key_header: str | None = None,
    ) -> None:
        if scope is not None and not is_scope(scope):
            raise ConfigurationError(
                'scope must be the name of a deployment or "*", optionally followed by an action as in'
                f' "churn:predict" (got {scope!r})'
            )
        if not isinstance(realm, str) or not _REALM.fullmatch(realm):
            raise ConfigurationError(
                f"realm must be printable ASCII without quotes and backslashes (got {realm!r})"
            )
        for name, value in (("max_bodies", max_bodies), ("max_look_ups", max_look_ups)):
            require_positive_int(name, value)
        require_positive_seconds("body_timeout", body_timeout)
        if key_header is not None and key_header not in KEY_HEADERS:
            raise ConfigurationError(
                f'key_header must be "authorization", "x-api-key" or None (got {key_header!r})'
            )
        self.key_header = key_header
        self.keys = key_store(keys)
        self._scope = scope
        self._bodies = AddressSlots(max_bodies, max(1, max_bodies // 4))
        self._body_timeout = body_timeout
        self._turns = LookupQueue(_MAX_RUNNING_LOOK_UPS, max_look_ups)
        self._split_forwarded = split_forwarded
        # Hashes of the keys, so that no keys are stored.
        self._accepted: set[int] = set()
        # RFC 6750, section 3.1: no error code if no credentials were sent.
        self._missing_headers = {"www-authenticate": f'Bearer realm="{realm}"'}
        self._invalid_headers = {"www-authenticate": f'Bearer realm="{realm}", error="invalid_token"'}

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        context: RequestContext = request.context
        request.read_limit = self._body_timeout, self._take_slot
        try:
            settled = context.settled
            context.principal = principal = (
                (yield from self._authenticate(request)) if settled is None else settled.principal
            )
        finally:
            request.read_limit = None
            self._bodies.leave(request)
        if context.deployment is not None:
            context.require_access(context.deployment)
        scope = self._scope
        if (
            scope is None
            and context.deployment is None
            and context.route is None
            and request.wire is PLAIN_JSON
        ):
            scope = "*"
        if scope is not None and not principal.covers(scope):
            raise InsufficientScope(
                f"This API key does not permit the use of this service: send one with the scope {scope}"
            )
        return (yield from call_next(request))

    def is_plain(self) -> bool:
        """Return whether *scope* and *key_header* are None, and the key store is a store of this package.

        The quick path may repeat a look-up, which could have side effects in another store.
        """
        own_store = type(self.keys).__module__.startswith(f"{MemoryKeyStore.__module__.rpartition('.')[0]}.")
        return own_store and self._scope is None and self.key_header is None

    def find_accepted(self, key: str) -> Principal | None:
        """Return the principal of *key* if it was accepted before and is found without a wait, else None."""
        if hash(key) not in self._accepted:
            return None
        if type(self.keys) is MemoryKeyStore:
            return self.keys.get(key)
        flow = self.keys.find(key)
        try:
            flow.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except Exception:
            # The request is answered by the layers, which report the error.
            return None
        flow.close()
        return None

    def read_arrived(self, request: Request) -> bytes | None:
        """Call `Request.read_arrived` for a body that may contain the key, within the limits for such bodies."""
        if not request.waits_for_body:
            return request.read_arrived()
        request.read_limit = self._body_timeout, self._take_slot
        try:
            return request.read_arrived()
        except Overloaded:
            return None
        finally:
            request.read_limit = None
            self._bodies.leave(request)

    def unknown_deployments(self, known: Iterable[str]) -> list[str]:
        """Return the deployments that configured keys permit and that are not in *known*.

        The list is empty for keys in a database or in a custom store.
        """
        return (
            sorted(self.keys.deployments.difference(known)) if isinstance(self.keys, MemoryKeyStore) else []
        )

    def _authenticate(self, request: Request) -> Flow[Principal]:
        try:
            wire = request.wire
            key = yield from (wire.credentials if self.key_header is None else self._key_from_header)(request)
        except (DeadlinePassed, DeadlineExceeded):
            if request.body_read is not None:
                raise
            raise Unauthorized(_LATE_BODY, headers=self._missing_headers) from None
        if key is None:
            message = describe_missing_key(
                request.headers, request.query_string, self.key_header or "authorization"
            )
            raise Unauthorized(message, headers=self._missing_headers)
        key_hash = hash(key)
        try:
            if key_hash in self._accepted:
                principal = yield from self.keys.find(key)
            else:
                principal = yield from self._look_up(request, key)
        except KeyInactive as error:
            self._accepted.discard(key_hash)
            request.context.key_id = error.key_id
            logger.info("request %s: key %s: rejected: %s", request.id, error.key_id, error.state)
            raise
        except AnswerableError:
            raise
        except Exception as error:
            logger.error("request %s: key store: look-up failed: %s", request.id, _describe(error, key))
            raise ServingError from None
        if principal is None:
            self._accepted.discard(key_hash)
            # With key_header, the key is not read from any other field.
            for_a_platform = self.key_header is None and is_json_web_token(key)
            raise Unauthorized(_FOR_A_PLATFORM if for_a_platform else "", headers=self._invalid_headers)
        if key_hash not in self._accepted:
            self._remember(key_hash)
        return principal

    def _key_from_header(self, request: Request) -> Flow[str | None]:
        yield from ()
        assert self.key_header is not None
        request.context.key_header = self.key_header
        return key_from_header(request.headers, self.key_header)

    def _remember(self, key_hash: int) -> None:
        if len(self._accepted) >= _MAX_ACCEPTED:
            self._accepted.clear()
        self._accepted.add(key_hash)

    def _look_up(self, request: Request, key: str) -> Flow[Principal | None]:
        """Look up a key that is not yet known to be valid, after waiting in a queue.

        In the queue, the addresses of the callers take turns; see `LookupQueue`.
        """
        failures = request.context.auth_failures
        remaining_failures = None if failures is None else partial(failures.remaining, request)
        turn = LookupTurn(self._address(request), remaining_failures)
        # Also leave when the request ends: an interruption may end the `finally` before it does anything.
        request.on_close.append(partial(self._turns.leave, turn))
        try:
            self._turns.join(turn)
            may_look_up = turn.result() if turn.done() else (yield from wait_for(turn))
            if failures is not None and not may_look_up:
                failures.check(request)
            principal = yield from self.keys.find(key)
            if failures is not None and principal is None:
                failures.count(request)
            return principal
        except KeyInactive:
            if failures is not None:
                failures.count(request)
            raise
        finally:
            self._turns.leave(turn)

    def _take_slot(self, request: Request) -> None:
        request.on_close.append(partial(self._bodies.leave, request))
        self._bodies.enter(request, self._address(request))

    def _address(self, request: Request) -> str:
        """Return the address by which *max_bodies* and *max_look_ups* count the request."""
        hop = forwarded_hop(request.headers) if self._split_forwarded else None
        address = rate_limit_address(request.client) or ""
        return address if hop is None else f"{address} {hop}"


def _describe(error: Exception, key: str) -> str:
    """Return the traceback of *error* as text without *key*.

    Log the text instead of the exception, because error tracking may store the local variables of its
    traceback, such as the key. The message of an error such as `KeyError` may contain the key, too.
    """
    text = "".join(traceback.format_exception(error))
    return text.replace(key, "***") if len(key) >= MIN_KEY_LENGTH else text
