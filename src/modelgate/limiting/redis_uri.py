"""What a Redis URI says, read in full before anything connects."""

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..errors import ConfigurationError

__all__ = ["TIMEOUT", "connection_options"]

TIMEOUT = 0.1
"""For how many seconds a limit waits for a connection or an answer, unless the URI says otherwise."""


def connection_options(uri: str, *, option: str = "storage", timeout: float = TIMEOUT) -> dict[str, Any]:
    """What redis-py is to connect to *uri* with.

    Args:
        uri: as the user wrote it.
        option: what the user calls it.
        timeout: for how many seconds a connection or an answer is waited for, unless the URI says it.

    Raises:
        ConfigurationError: a part of it cannot be read. What it was is not told: where a password is
            not percent-encoded, any part of the URI may be a piece of it.
    """
    try:
        url = urlsplit(uri)
        told = {"unix": _path, "redis": _host, "rediss": _host}[url.scheme](url)
        query = parse_qsl(url.query, keep_blank_values=True, strict_parsing=True) if url.query else []
        told.update({name: _QUERY[name](value) for name, value in query})
        tls = any(name.startswith("ssl_") for name, _ in query)
        if url.fragment or url.netloc.count("@") > 1 or (tls and url.scheme != "rediss"):
            raise ValueError
    except (ValueError, KeyError):
        raise ConfigurationError(
            f"{option}: the Redis URI cannot be read: accepts redis[s]://[user:password@]host[:port][/db] and"
            " unix://[user:password@]/path, user and password percent-encoded, and behind a ? any of"
            f" {', '.join(_QUERY)}"
        ) from None
    named = {"username": unquote(url.username or ""), "password": unquote(url.password or "")}
    timeouts = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    return {**timeouts, **told, **{name: value for name, value in named.items() if value}}


def _host(url: SplitResult) -> dict[str, Any]:
    db = url.path.removeprefix("/")
    port = url.port if url.port is not None else 6379
    return {"host": unquote(url.hostname or "localhost"), "port": port, "db": _whole(db) if db else 0}


def _path(url: SplitResult) -> dict[str, Any]:
    if url.path in ("", "/") or url.hostname or url.port:
        raise ValueError
    return {"path": unquote(url.path)}


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


def _yes(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


def _text(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _certificate(text: str) -> str:
    return {"required": "required", "optional": "optional", "none": "none"}[text]


_QUERY: Mapping[str, Callable[[str], Any]] = {
    "db": _whole,
    "socket_timeout": _seconds,
    "socket_connect_timeout": _seconds,
    "socket_keepalive": _yes,
    "health_check_interval": _whole,
    "client_name": _text,
    "ssl_ca_certs": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_cert_reqs": _certificate,
    "ssl_check_hostname": _yes,
}
