"""Whose requests are counted together."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from ..errors import ConfigurationError
from ..http import Request
from ..http.addresses import counted_address
from .functions import refuse_async

__all__ = ["By", "Identity", "identity"]

By: TypeAlias = str | Callable[[Request], str | None]
Identity: TypeAlias = Callable[[Request], str]

ANONYMOUS = "anonymous"
LONGEST = 64
"""How many characters of a name are kept; a longer one is counted by its digest."""

_HEADER = re.compile(r"header:([A-Za-z0-9!#$%&'*+.^_`|~-]+)")


def identity(by: By) -> Identity:
    """What names the bucket of a request. It is never empty: who has no name is ``anonymous``.

    Args:
        by: ``"caller"``, ``"key"``, ``"owner"``, ``"address"``, ``"deployment"``, ``"header:NAME"``,
            or a function of the request; see `RateLimit`.

    Raises:
        ConfigurationError: it is none of them.
    """
    refuse_async(by=by)
    if callable(by):
        return _named(by)
    told = by if isinstance(by, str) else ""
    header = _HEADER.fullmatch(told)
    if header is not None:
        name = header[1].lower()
        return _named(lambda request: request.headers.get(name))
    if told not in _IDENTITIES:
        raise ConfigurationError(
            f"by={by!r}: accepts {', '.join(_IDENTITIES)}, header:NAME, or a function of the request"
        )
    return _IDENTITIES[told]


def _named(told: Callable[[Request], Any]) -> Identity:
    """What *told* gives, which may be long, and may be another's secret."""

    def name(request: Request) -> str:
        found = told(request)
        text = "" if found is None else str(found)
        return text if 0 < len(text) <= LONGEST else _digest(text) if text else ANONYMOUS

    return name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _key(request: Request) -> str:
    principal = request.principal
    return ANONYMOUS if principal is None else principal.counted_as or principal.id


def _owner(request: Request) -> str:
    principal = request.principal
    # The key of nobody in particular is an owner of its own.
    return _key(request) if principal is None or not principal.owner else principal.owner


def _address(request: Request) -> str:
    return counted_address(request.client) or ANONYMOUS


def _caller(request: Request) -> str:
    principal = request.principal
    return _address(request) if principal is None else principal.counted_as or principal.id


def _deployment(request: Request) -> str:
    return request.deployment or ANONYMOUS


_IDENTITIES: dict[str, Identity] = {
    "caller": _caller,
    "key": _key,
    "owner": _owner,
    "address": _address,
    "deployment": _deployment,
}
