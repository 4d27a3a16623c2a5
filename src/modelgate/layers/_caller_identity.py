"""Identify callers, so that the requests of one caller are counted together."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from ..errors import ConfigurationError
from ..http import Request
from ..http.client_address import rate_limit_address
from ..keys import Principal
from ._options import require_sync

__all__ = ["IDENTITIES", "Identity", "LimitKey", "caller_key", "stored_identities"]

LimitKey: TypeAlias = str | Callable[[Request], str | None]
Identity: TypeAlias = Callable[[Request], str]

ANONYMOUS = "anonymous"
MAX_NAME_LENGTH = 64
"""Maximum length of a caller's name, in characters. Longer names are replaced by their digest."""

_HEADER = re.compile(r"header:([A-Za-z0-9!#$%&'*+.^_`|~-]+)")


def caller_key(by: LimitKey) -> Identity:
    """Return a function that identifies the caller of a request.

    Callers without an identity are counted as ``anonymous``.

    Args:
        by: ``"caller"``, ``"key"``, ``"owner"``, ``"address"``, ``"deployment"``, ``"header:NAME"``,
            or a function of the request; see `RateLimit`.

    Raises:
        ConfigurationError: *by* has another value.
    """
    require_sync(by=by)
    if callable(by):
        return _limit_length(by)
    text = by if isinstance(by, str) else ""
    header = _HEADER.fullmatch(text)
    if header is not None:
        name = header[1].lower()
        return _limit_length(lambda request: request.headers.get(name))
    if text not in IDENTITIES:
        raise ConfigurationError(
            f"by must be {', '.join(IDENTITIES)}, header:NAME, or a function of the request (got {by!r})"
        )
    return IDENTITIES[text]


def _limit_length(get_name: Callable[[Request], Any]) -> Identity:
    """Return a function like *get_name* that replaces long names by their digest, since they may be secrets."""

    def identify(request: Request) -> str:
        name = get_name(request)
        text = "" if name is None else str(name)
        if not text:
            return ANONYMOUS
        return text if len(text) <= MAX_NAME_LENGTH else _digest(text)

    return identify


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def stored_identities(name: str) -> set[str]:
    """Return the identities under which limits may count the caller *name*, which may be an address."""
    return {_digest(name) if len(name) > MAX_NAME_LENGTH else name, str(rate_limit_address(name))}


def _key(request: Request) -> str:
    principal: Principal | None = request.context.principal
    return ANONYMOUS if principal is None else principal.limit_bucket or principal.id


def _owner(request: Request) -> str:
    principal: Principal | None = request.context.principal
    # Keys without an owner are counted separately.
    return _key(request) if principal is None or not principal.owner else principal.owner


def _address(request: Request) -> str:
    return rate_limit_address(request.client) or ANONYMOUS


def _caller(request: Request) -> str:
    principal: Principal | None = request.context.principal
    return _address(request) if principal is None else principal.limit_bucket or principal.id


def _deployment(request: Request) -> str:
    return request.context.deployment or ANONYMOUS


IDENTITIES: dict[str, Identity] = {
    "caller": _caller,
    "key": _key,
    "owner": _owner,
    "address": _address,
    "deployment": _deployment,
}
