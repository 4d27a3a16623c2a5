"""Whoever asks must have a key."""

import logging
import re
from collections.abc import Mapping, Sequence

from ..errors import ConfigurationError, InsufficientScope, KeyInactive, Unauthorized
from ..flow import Flow, Handler
from ..http import PLAIN, Request, Response
from ..keys import KeyStore, key_store
from ..keys.principal import is_scope

__all__ = ["KeyAuth"]

logger = logging.getLogger("modelgate")

_REALM = re.compile(r"[ !#-\[\]-~]+")


class KeyAuth:
    """Let pass who presents a known key; `Request.principal` is then whose it is.

    Where the key stands is the wire format's affair: ``Authorization: Bearer`` or ``x-api-key``,
    unless a dialect says otherwise. Where the path names a deployment, the key must open it; and a
    key that does not gets the same answer whether or not there is such a deployment.

    An app outside a gate has no deployments: there the key must cover *scope*, and without a *scope* it
    must be a key for everything, ``"*"``.

    Args:
        keys: ``{key: deployments}``, ``"env:VARIABLE"``, the URL of a database, or a key store.
        scope: Scope that every key must cover, such as ``"churn:predict"``; ``"*"`` for everything.
        realm: named in the challenge of a 401.

    Attributes:
        keys: the store they are in.

    Raises:
        ConfigurationError: *keys* is none of them, or holds what is no key; *scope* is no scope; or
            *realm* cannot be sent.
    """

    def __init__(
        self,
        keys: KeyStore | Mapping[str, str | Sequence[str]] | str,
        *,
        scope: str | None = None,
        realm: str = "modelgate",
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
        self.keys = key_store(keys)
        self._scope = scope
        # RFC 6750, section 3.1: no error code where no credentials were sent.
        self._ask = {"www-authenticate": f'Bearer realm="{realm}"'}
        self._refuse = {"www-authenticate": f'Bearer realm="{realm}", error="invalid_token"'}

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        key = yield from request.wire.credentials(request)
        if key is None:
            raise Unauthorized("Missing API key", headers=self._ask)
        try:
            principal = yield from self.keys.find(key)
        except KeyInactive as error:
            request.key_id = error.key_id
            logger.info("request %s: the key %s is %s", request.id, error.key_id, error.state)
            raise
        if principal is None:
            raise Unauthorized(headers=self._refuse)
        request.principal = principal
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
