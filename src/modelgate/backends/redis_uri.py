"""Parse and validate Redis URIs."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import ConfigurationError

__all__ = ["TIMEOUT", "connection_options", "query_options"]

TIMEOUT = 0.1
"""Default timeout of a connection and of a reply, in seconds."""

_URI = re.compile(
    r"rediss?://([^@/?#]*@)?[^@/?#]*(/\d*)?(\?[^#]*)?|unix://([^@/?#]*@)?/[^?#]+(\?[^#]*)?", re.ASCII
)
_NUMBER, _TEXT, _BOOLEAN = r"\d+", r".+", r"(?i:true|yes|1|false|no|0)"
_SECONDS = r"(?=.*[1-9])(\d+\.?\d*|\.\d+)"
_QUERY: Mapping[str, str] = {
    "db": _NUMBER,
    "socket_timeout": _SECONDS,
    "socket_connect_timeout": _SECONDS,
    "socket_keepalive": _BOOLEAN,
    "health_check_interval": _NUMBER,
    "client_name": _TEXT,
    "ssl_ca_certs": _TEXT,
    "ssl_certfile": _TEXT,
    "ssl_keyfile": _TEXT,
    "ssl_cert_reqs": "required|optional|none",
    "ssl_check_hostname": _BOOLEAN,
}


def connection_options(
    uri: str, *, option: str = "storage", timeout: float = TIMEOUT, library: str = "redis"
) -> dict[str, Any]:
    """Return the options of the client library for a connection to *uri*.

    Args:
        uri: URI with ``redis://``, ``rediss://`` or ``unix://``, for Valkey, too.
        option: Name of the user's option that holds *uri*, for the error message.
        timeout: Default timeout of connections and replies, in seconds.
        library: Client library, ``"redis"`` or ``"valkey"``.

    Raises:
        ConfigurationError: The URI is malformed. The message contains no part of the URI: if a password is
            not percent-encoded, any part of the URI may belong to the password.
    """
    try:
        _check(uri)
        parsed = import_module(f"{library}.connection").parse_url(uri)
    except ValueError:
        raise ConfigurationError(
            f"{option} must be a {library.capitalize()} URI:"
            f" {library}[s]://[user:password@]host[:port][/db] or"
            f" {'valkey+' if library == 'valkey' else ''}unix://[user:password@]/path,"
            f" with user and password percent-encoded; query parameters: {', '.join(_QUERY)}"
        ) from None
    parsed.pop("connection_class", None)
    defaults: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if "path" not in parsed:
        defaults |= {"host": "localhost", "port": 6379, "db": 0}
    return {**defaults, **parsed}


def _check(uri: str) -> None:
    """Raise ValueError for mistakes that the client library would ignore or report only on the first call."""
    if not _URI.fullmatch(uri):
        raise ValueError
    url = urlsplit(uri)
    options = query_options(url.query)
    if url.scheme != "rediss" and any(name.startswith("ssl_") for name in options):
        raise ValueError


def query_options(query: str) -> dict[str, str]:
    """Return the options in the query of a URI. Raises ValueError for unknown names or invalid values."""
    options = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    for name, value in options:
        if not re.fullmatch(_QUERY.get(name, r"(?!)"), value, re.ASCII):
            raise ValueError
    return dict(options)
