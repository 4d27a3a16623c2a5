"""Resetting the rate limits of one caller."""

import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import click.testing
import pytest
import redis

from modelgate import AuthFailureLimit, ConfigurationError, Deployment, Gate, RateLimit, Schema, drive
from modelgate.cli.root import cli
from modelgate.keys import MemoryKeyStore, SqlKeyStore
from modelgate.limiting.lua_scripts import HIT
from modelgate.testing import Client

KEY, OTHER, OPERATOR = "mg_the-key-of-a-caller", "mg_the-key-of-another", "mg_the-key-of-operators"


def key_id(key):
    return drive(MemoryKeyStore({key: "*"}).find(key)).id


def make_gate(limits="1/hour", **options):
    deployment = Deployment(
        "m", lambda table: table["a"], schema=Schema.of(a=float), layers=[RateLimit("50/day")]
    )
    keys = {KEY: "*", OTHER: "m", OPERATOR: "*:operate"}
    return Gate([deployment], **{"keys": keys, "limits": limits, **options})


def predict(gate, key=KEY, address="192.0.2.1"):
    client = Client(gate.wsgi, headers={"x-api-key": key}, address=address)
    return client.post("/simple/m", json=[{"a": 1}]).status


def run_cli(*arguments, code=0, **environ):
    done = click.testing.CliRunner(env=environ).invoke(cli, ["limits", "reset", *arguments])

    assert code == done.exit_code, done.output
    return done


def test_reset_gives_one_caller_its_limits_back():
    """In the gate's layers and the deployments'; others keep their counts."""
    gate = make_gate()
    before = [predict(gate, key) for key in (KEY, KEY, OTHER)]
    discarded = gate.limits.reset(key_id(KEY))

    assert [200, 429, 200] == before
    assert 2 == discarded
    assert [200, 429] == [predict(gate, key) for key in (KEY, OTHER)]
    assert 0 == gate.limits.reset("k_unknown")


def test_reset_covers_the_limits_of_the_key_itself(tmp_path):
    """And those of its replacement, by the id that both are counted as."""
    store = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", cache_ttl=0)
    old = store.create(owner="us", scopes="m", limits="1/hour")
    new = store.rotate(old.record.id)
    gate = make_gate("9/hour", keys=store)
    before = [predict(gate, old.key), predict(gate, new.key)]
    gate.limits.reset(new.record.counted_as)
    after = predict(gate, new.key)
    store.close()

    assert [200, 429, 200] == [*before, after]


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_reset_by_address_lets_it_authenticate_again(address):
    """An IPv6 address stands for its network."""
    gate = make_gate(RateLimit("1/hour", by="address"), auth_failure_limit="1/hour", trusted_proxies=[])
    before = [predict(gate, key, address) for key in (KEY, KEY, "mg_a-wrong-key-of-them", KEY)]
    gate.limits.reset(address)

    assert [200, 429, 401, 429] == before
    assert 200 == predict(gate, KEY, address)


def test_reset_is_for_operators():
    """A caller with a key for everything cannot give itself more, and a gate without keys has no operators."""
    gate = make_gate("9/hour")
    answers = [
        Client(interface, headers={"x-api-key": key}).post("/limits/reset", json={"key": key_id(KEY)})
        for interface in (gate.wsgi, gate.asgi, make_gate("9/hour", keys="open").wsgi)
        for key in (KEY, OPERATOR)
    ]

    assert [403, 200, 403, 200, 403, 403] == [answer.status for answer in answers]
    assert {"key": key_id(KEY), "reset": 1} == answers[1].json()


def test_reset_in_a_running_gate(monkeypatch):
    """From the command line, by the operator's route."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *arguments):
            pass

    gate = make_gate()
    predict(gate)
    server = make_server("127.0.0.1", 0, gate.wsgi, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        arguments = [
            "--key",
            key_id(KEY),
            "--url",
            f"http://127.0.0.1:{server.server_port}",
            "--key-env",
            "K",
        ]
        rejected = run_cli(*arguments, code=2, K=OTHER)
        done = run_cli(*arguments, K=OPERATOR)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert "send one with the scope *:operate" in rejected.stderr
    assert f"2 counts of {key_id(KEY)} discarded\n" == done.stdout
    assert 200 == predict(gate)


@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_reset_in_redis(redis_server, tmp_path, strategy):
    """For all processes, of one caller only, by the id of a key that replaced another."""
    url = f"sqlite:///{tmp_path}/keys.db"
    store = SqlKeyStore(url, cache_ttl=0)
    old, other = (store.create(owner="us", scopes="m") for _ in range(2))
    new = store.rotate(old.record.id)
    # With the scripts in place, no process believes that Redis has lost counts, and adds its own.
    redis.Redis.from_url(redis_server.address).script_load(HIT.text)
    storage = f"{redis_server.uri}&client_name=reset"
    limits = RateLimit("1/hour", strategy=strategy, storage=storage, name="reset")
    gates = [make_gate(limits, keys=store), make_gate(limits, keys=store)]
    before = [predict(gates[0], old.key), predict(gates[1], new.key), predict(gates[1], other.key)]
    done = run_cli("--key", new.record.id, MODELGATE_LIMITS_STORAGE=storage, MODELGATE_KEYS_URL=url)
    after = [predict(gates[1], new.key), predict(gates[0], other.key)]
    again = gates[0].limits.reset(old.record.id)
    store.close()

    assert [200, 429, 200] == before
    assert f"1 counts of {old.record.id} discarded\n" == done.stdout
    assert [200, 429] == after
    assert 2 == again  # in Redis, and in the memory of the deployment's own limit


def test_reset_in_redis_takes_names_literally(redis_server):
    limit = RateLimit("1/hour", by="header:tenant", storage=redis_server.uri, name="a*b:c")
    layer = Client(make_gate(limit).wsgi, headers={"x-api-key": KEY})
    for tenant in ("x*", "xy", "2001:db8::"):
        layer.post("/simple/m", json=[{"a": 1}], headers={"tenant": tenant})

    assert [1, 0, 1] == [limit.reset(tenant) for tenant in ("x*", "x?", "2001:db8::")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "limits reset needs either --storage or --url"),
        (["--storage", "memory://"], "storage must be the URI of Redis"),
        (["--url", "http://127.0.0.1:1"], "url must be the mount point of a gate (ConnectError"),
        (["--storage", "redis://:secret@127.0.0.1:1/0"], "storage must be a Redis that responds (Error"),
    ],
)
def test_reset_names_what_is_wrong(arguments, message):
    assert message in run_cli("--key", "k_1", *arguments, code=2).stderr


def test_reset_in_other_storages_is_rejected():
    limit = RateLimit("1/hour", storage="memcached://127.0.0.1:1")

    with pytest.raises(ConfigurationError, match=r"storage must be memory:// or redis:// .*got memcached://"):
        limit.reset("k_1")


def test_reset_of_failures_is_for_one_address():
    assert 0 == AuthFailureLimit().reset("192.0.2.1")
