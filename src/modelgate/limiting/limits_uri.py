"""Validate the storage URIs of the `limits` package before anything connects."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote, urlsplit

from ..backends.redis_uri import TIMEOUT, connection_options, query_options
from ..errors import ConfigurationError

__all__ = ["StorageSettings", "read_storage_uri", "storage_classes"]


class StorageSettings(NamedTuple):
    """Options with which `limits` connects to a storage.

    Attributes:
        scheme: Scheme of the URI, which selects the `limits` storage classes.
        uri: URI to pass to `limits`, with only the query options that `limits` reads from a URI.
        options: Function that returns the keyword arguments of the storage class. Its argument is True for
            the asyncio class.
        outages: Exception classes that mean that the server does not answer.
    """

    scheme: str
    uri: str
    options: Callable[[bool], dict[str, Any]]
    outages: tuple[type[Exception], ...]

    @property
    def address(self) -> str:
        """Scheme and server to show in log lines, without the password."""
        url = urlsplit(self.uri)
        return f"{self.scheme} at {url.netloc.rpartition('@')[2] or url.path}"


_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}"
_HOSTS = rf"{_HOST}(?:,{_HOST})*"
_USER = r"(?:[^@/?#]*@)?"
_QUERY = r"(?:\?(?P<query>[^#]*))?"

_OWN_SCHEMES = ("memory", "redis", "rediss", "unix")
"""Schemes of modelgate's own limiters."""

_CLIENT_SCHEMES = {"redis+unix": "unix", "valkey": "redis", "valkeys": "rediss", "valkey+unix": "unix"}
"""Schemes of `limits` for a single server that redis-py does not know, with the equivalent that it knows."""

_MODULES: Mapping[str, tuple[str, ...]] = {
    "memcached": ("pymemcache", "memcachio"),
    "mongodb": ("pymongo", "motor.motor_asyncio"),
    "redis": ("redis",),
    "valkey": ("valkey",),
}
"""Client libraries of each family of storages. The extra has the same name as the family."""

_OLDEST = 5
"""Oldest major version of `limits` that has sliding windows and uses these client libraries."""


def storage_classes() -> Mapping[str, Any]:
    """Return the storage classes of `limits` by scheme. Asyncio classes have the prefix ``async+``."""
    import_module("limits.aio.storage")
    classes: Mapping[str, Any] = import_module("limits.storage").SCHEMES
    return classes


def read_storage_uri(uri: str) -> StorageSettings:
    """Return the options with which `limits` connects to *uri*.

    Raises:
        ConfigurationError: The scheme is unknown, a client library is missing, `limits` is too old, or the
            URI is malformed. The message never quotes the URI, which may contain a password.
    """
    classes = storage_classes()
    known = {name for name in classes if f"async+{name}" in classes}.difference(_OWN_SCHEMES)
    scheme, separator, rest = uri.removeprefix("async+").partition("://")
    if not separator or scheme not in known:
        schemes = ", ".join(f"{name}://" for name in sorted(known))
        raise ConfigurationError(
            'storage must be "memory://", "redis://…", "rediss://…" or "unix://…", or a URI of the limits'
            f" package: {schemes} (got {'another scheme' if separator else 'no URI'})"
        )
    version: str = import_module("limits").__version__
    if int(version.partition(".")[0]) < _OLDEST:
        raise ConfigurationError(
            f"storage: {scheme}:// needs limits {_OLDEST} or later (got {version}):"
            f' pip install "limits>={_OLDEST}"'
        )
    family = scheme.partition("+")[0].replace("valkeys", "valkey")
    try:
        for module in _MODULES.get(family, ()):
            import_module(module)
    except ImportError:
        raise ConfigurationError(
            f'storage: {scheme}:// needs an extra: pip install "modelgate[{family}]"'
        ) from None
    return _READERS.get(family, _read_registered)(scheme, rest)


def _read_redis(scheme: str, rest: str) -> StorageSettings:
    library = "valkey" if scheme.startswith("valkey") else "redis"
    group = scheme.endswith(("+sentinel", "+cluster"))
    read = _read_redis_group if group else _read_redis_server
    uri, common = read(scheme, rest, library)

    def options(aio: bool) -> dict[str, Any]:
        result = {**common, "retry": _retry_once(library, aio=aio)}
        if scheme.endswith("+sentinel"):
            # Read from the primary only, because the counts of a replica lag behind.
            sentinels = {name: value for name, value in result.items() if name != "db"}
            result |= {"use_replicas": False, "sentinel_kwargs": sentinels}
        return {**result, "implementation": "redispy"} if aio else result

    errors, name = import_module(f"{library}.exceptions"), library.capitalize()
    outages = (getattr(errors, f"{name}Error"), getattr(errors, f"{name}ClusterException"), OSError)
    return StorageSettings(scheme, uri, options, outages)


def _read_redis_server(scheme: str, rest: str, library: str) -> tuple[str, dict[str, Any]]:
    uri = f"{_CLIENT_SCHEMES[scheme]}://{rest}"
    options = connection_options(uri, library=library)
    url = urlsplit(uri)
    if "path" not in options and url.port is None:
        # The asyncio storage requires a host and a port.
        host = url.netloc if url.hostname else f"{url.netloc}localhost"
        rest = f"{host}:6379{rest[len(url.netloc) :]}"
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
    return f"{scheme}://{rest}", timeouts


def _read_redis_group(scheme: str, rest: str, library: str) -> tuple[str, dict[str, Any]]:
    service = "/[^/?#]+" if scheme.endswith("+sentinel") else "/?"
    form = "[user:password@]host:port[,host:port…]" + ("/service" if "sentinel" in scheme else "")
    extra = "with user and password percent-encoded, and the options of a Redis URI after a ?"
    query = _parse_query(rf"{_USER}{_HOSTS}{service}{_QUERY}", scheme, rest, f"{form}, {extra}")
    tls = any(name.startswith("ssl_") for name in query)
    location = rest.partition("?")[0]
    plain = f"redis{'s' * tls}://localhost?{rest.partition('?')[2]}"
    options = connection_options(plain, library=library)
    del options["host"], options["port"]
    if scheme.endswith("+cluster") and options.pop("db"):
        _reject(scheme, f"{form}, and a cluster only has db 0")
    url = urlsplit(f"//{location}")
    credentials = {"username": unquote(url.username or ""), "password": unquote(url.password or "")}
    options |= {name: value for name, value in credentials.items() if value}
    return f"{scheme}://{location}", {**options, "ssl": True} if tls else options


def _retry_once(library: str, *, aio: bool) -> Any:
    """Return a policy of *library* that retries once, because servers close idle connections."""
    errors, backoff = import_module(f"{library}.exceptions"), import_module(f"{library}.backoff")
    retry = import_module(f"{library}.asyncio.retry" if aio else f"{library}.retry")
    return retry.Retry(backoff.NoBackoff(), 1, supported_errors=(errors.ConnectionError,))


def _read_memcached(scheme: str, rest: str) -> StorageSettings:
    form = "host:port[,host:port…], with socket_timeout and socket_connect_timeout after a ?"
    query = _parse_query(rf"{_HOSTS}{_QUERY}", scheme, rest, form)
    if not query.keys() <= {"socket_timeout", "socket_connect_timeout"}:
        _reject(scheme, form)
    timeout = float(query.get("socket_timeout", TIMEOUT))
    connect_timeout = float(query.get("socket_connect_timeout", TIMEOUT))

    def options(aio: bool) -> dict[str, Any]:
        if not aio:
            return {
                "connect_timeout": connect_timeout,
                "timeout": timeout,
                "no_delay": True,
                "client_getter": _pooled_client(),
            }
        # With a single connection, one slow call would block all others.
        pool = {"max_connections": 8, "blocking_timeout": timeout}
        return {"connect_timeout": connect_timeout, "read_timeout": timeout, "socket_nodelay": True, **pool}

    errors = import_module("memcachio.errors")
    outages = (
        import_module("pymemcache").MemcacheError,
        errors.MemcachedError,
        errors.NoAvailableNodes,
        OSError,
    )
    return StorageSettings(scheme, f"{scheme}://{rest.partition('?')[0]}", options, outages)


def _pooled_client() -> Callable[..., Any]:
    """Return a function that always returns the same client, for the option `client_getter` of `limits`.

    By default, `limits` creates a client per thread.
    """
    clients: list[Any] = []

    def get_client(module: Any, hosts: list[Any], **options: Any) -> Any:
        if not clients:
            if len(hosts) > 1:
                clients.append(module.HashClient(hosts, use_pooling=True, **options))
            else:
                clients.append(module.PooledClient(*hosts, **options))
        return clients[0]

    return get_client


def _read_mongodb(scheme: str, rest: str) -> StorageSettings:
    errors = import_module("pymongo.errors")
    try:
        # Parse it as mongodb://, because parsing mongodb+srv:// queries a name server.
        parsed = import_module("pymongo.uri_parser").parse_uri(f"mongodb://{rest}")
    except (ValueError, errors.PyMongoError):
        _reject(scheme, "[user:password@]host[:port][,…][/database][?options], as PyMongo reads it")
    configured = {name.lower() for name in parsed["options"]}
    names = ("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS")
    timeouts = {name: int(TIMEOUT * 1000) for name in names if name.lower() not in configured}
    return StorageSettings(
        scheme, f"{scheme}://{rest}", lambda _: dict(timeouts), (errors.PyMongoError, OSError)
    )


def _read_registered(scheme: str, rest: str) -> StorageSettings:
    """Return the settings for a storage class that the app has registered with `limits`."""
    from limits.errors import StorageError

    uri, options = f"{scheme}://{rest}", {"wrap_exceptions": True}
    try:
        storage_classes()[scheme](uri, **options)
    except Exception as error:
        raise ConfigurationError(
            f"storage must be a URI that the class registered for {scheme}:// accepts"
            f" (got {type(error).__name__}): correct the URI or the class"
        ) from None
    return StorageSettings(scheme, uri, lambda _: dict(options), (StorageError, OSError))


def _parse_query(pattern: str, scheme: str, rest: str, form: str) -> dict[str, str]:
    """Return the query options of a URI, or raise an error if the URI does not match *pattern*.

    Args:
        pattern: Regular expression for the URI after the scheme, with a group ``query``.
        scheme: Scheme of the URI.
        rest: Rest of the URI.
        form: Description of the pattern, for the error message.
    """
    match = re.fullmatch(pattern, rest, re.ASCII)
    if match is None or any(int(port) > 65535 for port in re.findall(r":(\d+)(?=[,/?]|$)", rest)):
        _reject(scheme, form)
    try:
        return query_options(match["query"] or "")
    except ValueError:
        _reject(scheme, form)


def _reject(scheme: str, form: str) -> NoReturn:
    raise ConfigurationError(f"storage must be {scheme}://{form} (got another form)") from None


_READERS: Mapping[str, Callable[[str, str], StorageSettings]] = {
    "memcached": _read_memcached,
    "mongodb": _read_mongodb,
    "redis": _read_redis,
    "valkey": _read_redis,
}
