"""Storage URIs of the `limits` package."""

import asyncio
import sys

import pytest
from limits.storage.mongodb import MongoDBStorageBase

from modelgate import ConfigurationError, Gate, RateLimit
from modelgate.limiting.limits_storage import LimitsStorage, _close, _open
from modelgate.limiting.limits_uri import read_storage_uri, storage_classes
from modelgate.limiting.windows import Rate

HOST = "127.0.0.1:1"
URIS = [
    f"memcached://{HOST}",
    f"memcached://{HOST},{HOST}",
    f"mongodb://{HOST}",
    f"redis+cluster://{HOST}",
    f"redis+sentinel://{HOST}/service",
    "redis+unix:///nowhere.sock",
    f"valkey://{HOST}",
    f"valkeys://{HOST}",
    f"valkey+cluster://{HOST}",
    f"valkey+sentinel://{HOST}/service",
    "valkey+unix:///nowhere.sock",
]


def test_old_versions_of_limits_are_rejected(monkeypatch):
    """Limits in memory and in Redis work with them."""
    monkeypatch.setattr("limits.__version__", "4.7.3")

    with pytest.raises(ConfigurationError, match=r"mongodb:// needs limits 5 or later \(got 4.7.3\)"):
        RateLimit(storage="mongodb://127.0.0.1:1")


@pytest.mark.slow
@pytest.mark.parametrize("uri", URIS)
def test_scheme_selects_storage_class(uri, monkeypatch):
    """A synchronous cluster connects when it is created, and is left out."""
    # It connects in order to close.
    monkeypatch.delattr(MongoDBStorageBase, "__del__")
    settings = read_storage_uri(uri)
    classes = storage_classes()

    async def open_and_close():
        storage = _open(settings, aio=True)
        await _close(storage)
        return type(storage)

    assert classes[f"async+{settings.scheme}"] is asyncio.run(open_and_close())
    if "cluster" not in uri:
        assert classes[settings.scheme] is type(_open(settings, aio=False))


@pytest.mark.slow
def test_every_scheme_of_limits_is_supported():
    """Except those of our own limiters. Other tests may have registered more."""
    own = {
        scheme: kind for scheme, kind in storage_classes().items() if kind.__module__.startswith("limits.")
    }
    plain = {scheme for scheme in own if not scheme.startswith("async+")}
    read = {read_storage_uri(uri).scheme for uri in [*URIS, "mongodb+srv://host.invalid"]}

    assert plain - {"memory", "redis", "rediss"} <= read


@pytest.mark.parametrize(
    ("uri", "aio", "expected"),
    [
        ("memcached://h:1", False, {"connect_timeout": 0.1, "timeout": 0.1}),
        ("memcached://h:1", True, {"connect_timeout": 0.1, "read_timeout": 0.1}),
        ("memcached://h:1?socket_timeout=2", True, {"connect_timeout": 0.1, "read_timeout": 2.0}),
        ("memcached://h:1?socket_connect_timeout=2", False, {"connect_timeout": 2.0, "timeout": 0.1}),
        ("mongodb://h", False, {"serverSelectionTimeoutMS": 100, "socketTimeoutMS": 100}),
        ("mongodb://h/?connectTimeoutMS=5", True, {"serverSelectionTimeoutMS": 100, "socketTimeoutMS": 100}),
        ("valkey://h?socket_timeout=2", True, {"socket_timeout": 2.0, "socket_connect_timeout": 0.1}),
        ("redis+cluster://u%40:p%2F@h:1,i:2", True, {"username": "u@", "password": "p/"}),
        ("redis+cluster://h:1?ssl_cert_reqs=none", False, {"ssl": True, "ssl_cert_reqs": "none"}),
        ("redis+sentinel://:p@h:1/s?db=3", False, {"db": 3, "password": "p", "use_replicas": False}),
        ("redis+sentinel://h:1/s", True, {"implementation": "redispy", "socket_timeout": 0.1}),
    ],
)
def test_uri_sets_options(uri, aio, expected):
    """The default timeouts are those of our own storages."""
    options = read_storage_uri(uri).options(aio)

    assert expected == {name: options[name] for name in expected}
    assert "connectTimeoutMS" not in options or "connectTimeoutMS" not in uri


@pytest.mark.parametrize(
    ("uri", "read"),
    [
        ("valkey://", "valkey://localhost:6379"),
        ("valkey://:p@", "valkey://:p@localhost:6379"),
        ("valkey://h/2?db=3", "valkey://h:6379/2?db=3"),
        ("valkeys://[::1]", "valkeys://[::1]:6379"),
        ("valkey+unix:///run/v.sock?db=3", "valkey+unix:///run/v.sock?db=3"),
        ("memcached://h:1?socket_timeout=2", "memcached://h:1"),
        ("redis+sentinel://h:1,i:2/s?db=1", "redis+sentinel://h:1,i:2/s"),
    ],
)
def test_uri_for_limits_has_port_and_only_its_options(uri, read):
    assert read == read_storage_uri(uri).uri


@pytest.mark.parametrize(
    "uri",
    [
        "memcached://",
        "memcached://h",
        "memcached:///run/memcached.sock",
        "memcached://h:port",
        "memcached://h:65536",
        "memcached://:s3cret@h:1",
        "memcached://h:1?db=1",
        "memcached://h:1?socket_timeout=0",
        "memcached://h:1/?",
        "mongodb://",
        "mongodb://u:s3@cret@h",
        "mongodb://u:s3cret@h:port",
        "mongodb://h/?s3cret=1",
        "redis+cluster://",
        "redis+cluster://:s3/cret@h:1",
        "redis+cluster://h:1/s",
        "redis+cluster://h:1?db=1",
        "redis+cluster://h:1?max_connections=1",
        "redis+sentinel://h:1",
        "redis+sentinel://h/s",
        "redis+sentinel://h:1,i:65536/s",
        "redis+sentinel://:s3@cret@h:1/s",
        "redis+sentinel://h:1/s?socket_timeout=nan",
        "valkey://h:port",
        "valkey://h?s3cret=1",
        "valkey+unix://h/run/v.sock",
    ],
)
def test_malformed_uri_is_rejected(uri):
    """The message does not quote the password."""
    with pytest.raises(ConfigurationError, match=r"^storage.* \S+://") as info:
        RateLimit("1/day", storage=uri)

    assert "s3" not in str(info.value) and "cret" not in str(info.value)
    assert info.value.__suppress_context__ or info.value.__context__ is None


@pytest.mark.parametrize("uri", ["ftp://h", "memory://h", "async+redis://h", "memcached", "", None, 7])
def test_unknown_storage_is_rejected(uri):
    """The message lists all storages."""
    with pytest.raises(ConfigurationError, match=r'storage must be "memory://".*memcached://.*valkeys://'):
        RateLimit("1/day", storage=uri)


@pytest.mark.parametrize(
    ("module", "uri", "extra"),
    [
        ("pymemcache", f"memcached://{HOST}", "memcached"),
        ("memcachio", f"memcached://{HOST}", "memcached"),
        ("pymongo", f"mongodb://{HOST}", "mongodb"),
        ("motor.motor_asyncio", f"mongodb://{HOST}", "mongodb"),
        ("redis", f"redis+sentinel://{HOST}/s", "redis"),
        ("valkey", f"valkeys://{HOST}", "valkey"),
    ],
)
def test_missing_client_library_is_reported(module, uri, extra, monkeypatch):
    """The message has the extra to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf'pip install "modelgate\[{extra}\]"$'):
        read_storage_uri(uri)


def test_failing_registered_storage_is_reported_without_uri(monkeypatch):
    """Its own error may quote the password."""

    def fail(uri, **options):
        raise ValueError(uri)

    monkeypatch.setitem(storage_classes(), "test-failing", fail)
    monkeypatch.setitem(storage_classes(), "async+test-failing", fail)
    with pytest.raises(ConfigurationError) as info:
        read_storage_uri("test-failing://:s3cret@host")
    assert str(info.value) == (
        "storage must be a URI that the class registered for test-failing:// accepts (got ValueError):"
        " correct the URI or the class"
    )


def test_unsupported_options_are_rejected():
    for options, message in (
        ({"clock": float}, "clock must be None"),
        ({"charge_when": bool}, "charge_when must be None for this storage"),
        ({"rate": "1/31 days"}, "at most 30 days in Memcached .*'1 per 31 day'"),
        ({"rate": "1/month", "strategy": "sliding"}, "windows of at most 15 days"),
        ({"by": lambda request: ""}, "name must be"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            RateLimit(storage=f"memcached://{HOST}", **options)
    RateLimit("1/month", storage=f"memcached://{HOST}")


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("memcached", ["fixed-window", "sliding-window-counter", "sliding-window-counter"]),
        ("mongodb", ["fixed-window", "sliding-window-counter", "moving-window"]),
        ("valkey", ["fixed-window", "sliding-window-counter", "moving-window"]),
    ],
)
def test_strategy_falls_back_with_warning(scheme, expected, caplog):
    storage = LimitsStorage(f"{scheme}://{HOST}")
    windows = [type(Rate.parse("1/day", strategy).windows[0]) for strategy in ("fixed", "sliding", "moving")]
    RateLimit("1/day", storage=f"{scheme}://{HOST}", strategy="moving")

    assert expected == [storage.strategy(window) for window in windows]
    assert (expected[2] != "moving-window") is ("has no moving windows" in caplog.text)


def test_gate_accepts_limit_with_memcached():
    limit = RateLimit("1/day", storage=f"memcached://{HOST}")
    gate = Gate(keys="open", limits=[limit])

    assert gate is not None and limit.shared
