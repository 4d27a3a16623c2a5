"""Whoever asks must have a key."""

import logging
import re
from collections.abc import Mapping, Sequence

from ..errors import ConfigurationError, KeyInactive, Unauthorized
from ..flow import Flow, Handler
from ..http import Request, Response
from ..keys import KeyStore, key_store

__all__ = ["KeyAuth"]

logger = logging.getLogger("modelgate")

_REALM = re.compile(r"[ !#-\[\]-~]+")


class KeyAuth:
    """Let pass who presents a known key; `Request.principal` is then whose it is.

    Where the key stands is the wire format's affair: ``Authorization: Bearer`` or ``x-api-key``,
    unless a dialect says otherwise. Where the path names a deployment, the key must open it; and a
    key that does not gets the same answer whether or not there is such a deployment.

    Args:
        keys: ``{key: deployments}``, ``"env:VARIABLE"``, the URL of a database, or a key store.
        realm: named in the challenge of a 401.

    Attributes:
        keys: the store they are in.

    Raises:
        ConfigurationError: *keys* is none of them, or holds what is no key; or *realm* cannot be sent.
    """

    def __init__(self, keys: KeyStore | Mapping[str, str | Sequence[str]] | str, *, realm: str = "modelgate"):
        if not isinstance(realm, str) or not _REALM.fullmatch(realm):
            raise ConfigurationError(
                f"realm={realm!r}: accepts printable ASCII without quotes and backslashes"
            )
        self.keys = key_store(keys)
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
        return (yield from call_next(request))
