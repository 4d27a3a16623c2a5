"""Whoever asks must have a key."""

import logging
import re
import traceback
from collections.abc import Mapping, Sequence
from functools import partial

from ..counts import require_count, require_seconds
from ..errors import (
    AnswerableError,
    ConfigurationError,
    DeadlineExceeded,
    InsufficientScope,
    KeyInactive,
    ServingError,
    Unauthorized,
)
from ..flow import Flow, Handler, Wait, wait_for
from ..flow.bounded import TimeIsUp, bounded_wait
from ..http import PLAIN, Request, Response
from ..http.addresses import counted_address, forwarded_hop
from ..keys import KeyStore, Principal, key_store
from ..keys.principal import is_scope
from .look_ups import Slots, Turns

__all__ = ["KeyAuth"]

logger = logging.getLogger("modelgate")

_REALM = re.compile(r"[ !#-\[\]-~]+")

_AT_ONCE = 16
"""Look-ups under way of keys that are not known to be good: some for each thread of a `SqlKeyStore`."""
_ACCEPTED = 10_000
"""Keys remembered as good, as many as a `SqlKeyStore` remembers."""


class KeyAuth:
    """Let pass who presents a known key; `Request.principal` is then whose it is.

    Where the key stands is the wire format's affair: ``Authorization: Bearer`` or ``x-api-key``,
    unless a dialect says otherwise. Where the path names a deployment, the key must open it; and a
    key that does not gets the same answer whether or not there is such a deployment.

    An app outside a gate has no deployments: there the key must cover *scope*, and without a *scope* it
    must be a key for everything, ``"*"``.

    Requests without an accepted key are bounded well below the default of `Admission`, by address too, so
    that callers without a key leave room for those with one. A key that was accepted before is looked up
    at once, any other in rotation among the addresses, and of one address no more than it has failures
    left, see `AuthFailures`. What is over a bound is answered 503.

    Args:
        keys: ``{key: deployments}``, ``"env:VARIABLE"``, the URL of a database, or a key store.
        scope: Scope that every key must cover, such as ``"churn:predict"``; ``"*"`` for everything.
        realm: named in the challenge of a 401.
        max_bodies: Number of requests whose body is read for its key, before one is accepted; a quarter
            of it from one address.
        body_timeout: Seconds in which such a body must be there, from when its request came. Then it is
            answered 401.
        max_look_ups: Number of keys that are looked up or wait for it; half of it from one address.
        spare_forwarded: Take for an address of its own what ``X-Forwarded-For`` or ``Forwarded`` names
            last. Set it where these may come from a proxy that is not named, see `AuthFailures`.

    Attributes:
        keys: the store they are in.

    Raises:
        ConfigurationError: *keys* is none of them, or holds what is no key; *scope* is no scope; *realm*
            cannot be sent; or a bound is no number above 0.
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
        spare_forwarded: bool = False,
    ) -> None:
        if scope is not None and not is_scope(scope):
            raise ConfigurationError(
                f'scope must be the name of a deployment or "*", with or without an action (got {scope!r}):'
                ' write scope="churn:predict"'
            )
        if not isinstance(realm, str) or not _REALM.fullmatch(realm):
            raise ConfigurationError(
                f"realm={realm!r}: accepts printable ASCII without quotes and backslashes"
            )
        for name, value in (("max_bodies", max_bodies), ("max_look_ups", max_look_ups)):
            require_count(name, value)
        require_seconds("body_timeout", body_timeout)
        self.keys = key_store(keys)
        self._scope = scope
        self._bodies = Slots(max_bodies, max(1, max_bodies // 4))
        self._body_timeout = body_timeout
        self._turns = Turns(_AT_ONCE, max_look_ups)
        self._spare_forwarded = spare_forwarded
        # As hashes, so that no key is kept.
        self._accepted: set[int] = set()
        # RFC 6750, section 3.1: no error code where no credentials were sent.
        self._ask = {"www-authenticate": f'Bearer realm="{realm}"'}
        self._refuse = {"www-authenticate": f'Bearer realm="{realm}", error="invalid_token"'}

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        request.around_read = self._read_for_key
        try:
            request.principal = principal = yield from self._principal(request)
        finally:
            request.around_read = None
            if request.body_slot is not None:
                self._bodies.leave(request.body_slot)
                request.body_slot = None
        if request.deployment is not None:
            principal.require(request.deployment, request.action)
        scope = self._scope
        if scope is None and request.deployment is None and request.route is None and request.wire is PLAIN:
            scope = "*"
        if scope is not None and not principal.covers(scope):
            raise InsufficientScope(
                f"This API key does not open this service: send one with the scope {scope}"
            )
        return (yield from call_next(request))

    def _principal(self, request: Request) -> Flow[Principal]:
        key = yield from request.wire.credentials(request)
        if key is None:
            raise Unauthorized("Missing API key", headers=self._ask)
        known = hash(key)
        try:
            if known in self._accepted:
                principal = yield from self.keys.find(key)
            else:
                principal = yield from self._look_up(request, key)
        except KeyInactive as error:
            self._accepted.discard(known)
            request.key_id = error.key_id
            logger.info("request %s: the key %s is %s", request.id, error.key_id, error.state)
            raise
        except AnswerableError:
            raise
        except Exception as error:
            # As text: a collector that keeps the local variables of a traceback would keep the key.
            told = "".join(traceback.format_exception(error))
            logger.error("request %s: key store: look-up failed: %s", request.id, told)
            raise ServingError from None
        if principal is None:
            self._accepted.discard(known)
            raise Unauthorized(headers=self._refuse)
        if known not in self._accepted:
            if len(self._accepted) >= _ACCEPTED:
                self._accepted.clear()
            self._accepted.add(known)
        return principal

    def _look_up(self, request: Request, key: str) -> Flow[Principal | None]:
        """Look up a key that is not known to be good, when it is the turn of its address."""
        failures = request.auth_failures
        left = None if failures is None else partial(failures.left, request)
        turn = self._turns.queue(self._address(request), left)
        try:
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

    def _read_for_key(self, request: Request, read: Wait) -> Flow[bytes]:
        """Read the body of a request whose key may be in it."""
        until = request.started + self._body_timeout
        try:
            return (yield bounded_wait(read, until, partial(self._take_slot, request)))  # type: ignore[no-any-return]
        except (TimeIsUp, DeadlineExceeded):
            raise Unauthorized(
                "Missing API key: none came in time with the body. Send it in a header field",
                headers=self._ask,
            ) from None

    def _take_slot(self, request: Request) -> None:
        address = self._address(request)
        self._bodies.enter(address)
        request.body_slot = address

    def _address(self, request: Request) -> str:
        """Return what counts as the address of the caller."""
        hop = forwarded_hop(request.headers) if self._spare_forwarded else None
        address = counted_address(request.client) or ""
        return address if hop is None else f"{address} {hop}"
