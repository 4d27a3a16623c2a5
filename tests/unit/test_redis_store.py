"""Redis cache in front of a model store."""

import contextlib
import hashlib
import itertools
import logging
import multiprocessing
import os
import sys
import threading

import joblib
import numpy as np
import pytest
import redis
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from modelgate import (
    ConfigurationError,
    Deployment,
    FolderStore,
    Gate,
    ModelPackage,
    NotFound,
    StoreError,
)
from modelgate.backends.sql import sa
from modelgate.models import MemoryStore, RedisCachedStore, SqlModelStore
from modelgate.models.signed_blob import SignedBlob
from modelgate.testing import Client
from support.waiting import SOON

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
MODEL = LogisticRegression().fit(ROWS, YES)
ROW = {"x0": 1, "x1": 2}
FOREIGN = "rejected: the file is not signed with this store's key, or it is damaged"

namespaces = map("namespace{}".format, itertools.count())


def package(version="1", **options):
    return ModelPackage.from_estimator(MODEL, ROWS, name="churn", version=version, **options)


class Watched:
    """A store that records the files it returns, and can be down."""

    def __init__(self, store):
        self._store, self.down, self.fetched = store, False, []

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _check_up(self):
        if self.down:
            raise StoreError

    def version(self, name):
        self._check_up()
        return self._store.version(name)

    def fingerprint(self, name):
        self._check_up()
        return self._store.fingerprint(name)

    def describe(self, name):
        self._check_up()
        return self._store.describe(name)

    def read_file(self, version):
        self._check_up()
        self.fetched.append(version)
        return self._store.read_file(version)


@pytest.fixture
def sql(tmp_path):
    with contextlib.closing(SqlModelStore(f"sqlite:///{tmp_path}/models.db")) as store:
        store.save(package())
        yield store


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    package().save(tmp_path / "models" / "churn@1.mgpkg")
    return FolderStore(tmp_path / "models")


@pytest.fixture(params=["sql", "folder"])
def primary(request):
    return Watched(request.getfixturevalue(request.param))


@pytest.fixture
def make(redis_server):
    """Creates stores over one namespace, each like one of another process."""
    namespace = next(namespaces)

    def made(primary, **options):
        return RedisCachedStore(
            primary, redis_server.uri, **{"key": KEY, "namespace": namespace, "timeout": SOON, **options}
        )

    made.namespace = namespace
    return made


@pytest.fixture
def admin(redis_server):
    with redis.Redis.from_url(redis_server.uri) as client:
        yield client


def wait_for_writes(store):
    """Wait until *store* has written its pending files."""
    store._workers._share.submit(lambda: None).result(SOON)


def redis_key(make, kind="model", version="churn@1"):
    return f"modelgate:{make.namespace}:{kind}:{version}"


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# What is found there


def fill_redis(make, primary, name="churn@1", **options):
    """Return a store after it has written the model to Redis."""
    store = make(primary, **options)
    store.load(name)
    wait_for_writes(store)
    primary.fetched.clear()
    return store


@pytest.mark.parametrize("name", ["churn@1", "churn", "churn@latest"])
def test_redis_store_serves_another_process(make, primary, name):
    """The primary store does not read the file again."""
    fill_redis(make, primary, name)
    expected, loaded = primary.load(name), make(primary).load(name)

    assert [] == primary.fetched
    assert np.array_equal(MODEL.predict_proba(ROWS), loaded.model.predict_proba(ROWS))
    assert (expected.sha256, expected.manifest) == (loaded.sha256, loaded.manifest)


def test_fixed_version_needs_no_primary_store(make, primary):
    """Names without a fixed version do."""
    fill_redis(make, primary)
    primary.down = True
    store = make(primary)

    assert ("1", ("x0", "x1"), "churn@1") == (
        store.load("churn@1").manifest.version,
        store.describe("churn@1").schema.names,
        store.fingerprint("churn@1"),
    )
    for method in (store.load, store.describe, store.fingerprint):
        with pytest.raises(StoreError):
            method("churn")


def test_primary_store_resolves_names(make, sql):
    store, primary = make(sql), Watched(sql)
    sql.alias("churn", "production", "1")
    before = [store.load(name).manifest.version for name in ("churn", "churn@production")]
    sql.save(package("2"))
    sql.alias("churn", "production", "2")
    wait_for_writes(store)
    after = [make(primary).load(name).manifest.version for name in ("churn", "churn@production")]

    assert (["1", "1"], ["2", "2"]) == (before, after)
    assert "2" == store.describe("churn@production").manifest.version


def test_version_that_becomes_an_alias(make, sql):
    sql.save(package("production"))
    primary = Watched(sql)
    fill_redis(make, primary, "churn@production")
    before = [make(primary).load("churn@production").manifest.version, *primary.fetched]
    with sql._db.transaction() as connection:
        connection.execute(sa.text("delete from modelgate_models where version = 'production'"))
    sql.alias("churn", "production", "1")
    store = make(primary)

    assert ["production"] == before
    assert "1" == store.load("churn@production").manifest.version
    assert "1" == store.describe("churn@production").manifest.version
    assert store.fingerprint("churn@1") == store.fingerprint("churn@production")


def test_version_is_recalled(make, primary, admin):
    """Redis would serve it without a call of the primary store."""
    store = fill_redis(make, primary)
    primary.down = True
    store.forget("churn@1")

    assert [] == admin.keys(f"modelgate:{make.namespace}:*")
    with pytest.raises(StoreError):
        store.load("churn@1")


@pytest.mark.parametrize("name", ["churn", "churn@latest", "churn@production", "*@1"])
def test_only_fixed_versions_are_recalled(make, primary, name):
    with pytest.raises(ConfigurationError, match="version must be a fixed version"):
        make(primary).forget(name)


def test_recall_fails_without_redis(folder):
    store = RedisCachedStore(folder, "redis://127.0.0.1:1", key=KEY)
    with pytest.raises(StoreError, match="may still be cached"):
        store.forget("churn@1")


def test_only_fixed_versions_are_cached(make, folder, admin, tmp_path):
    """A link is cached as its target; copies and folders are not."""
    models, store = tmp_path / "models", make(folder)
    content = (models / "churn@1.mgpkg").read_bytes()
    (models / "churn.mgpkg").write_bytes(content)
    (models / "churn@copy.mgpkg").write_bytes(content)
    package("2").save(models / "churn@2.mgpkg", folder=True)
    for name in ("churn", "churn@copy", "churn@2"):
        store.load(name)
    wait_for_writes(store)
    assert [] == admin.keys(f"modelgate:{make.namespace}:*")
    (models / "churn@link.mgpkg").symlink_to("churn@1.mgpkg")
    store.load("churn@link")
    package("3").save(models / "churn.mgpkg")

    wait_for_writes(store)

    assert "3" == store.load("churn").manifest.version
    assert {redis_key(make).encode(), redis_key(make, "sidecars").encode()} == set(
        admin.keys(f"modelgate:{make.namespace}:*")
    )


def test_bare_files_are_cached(make, folder, admin, tmp_path):
    """A pickle needs its pin, also from Redis."""
    joblib.dump(MODEL, tmp_path / "models" / "risk@1.joblib")
    digest = hashlib.sha256((tmp_path / "models" / "risk@1.joblib").read_bytes()).hexdigest()
    primary = Watched(folder)
    store = make(primary)
    store.load("risk@1", sha256=digest)
    wait_for_writes(store)

    assert MODEL.classes_.tolist() == make(primary).load("risk@1", sha256=digest).model.classes_.tolist()
    assert (["risk@1"], None) == (primary.fetched, make(primary).describe("risk@1"))
    for pin, message in ((None, "pickle"), ("0" * 64, "digest")):
        with pytest.raises(ConfigurationError, match=message):
            make(primary).load("risk@1", sha256=pin)


def test_skops_files_are_cached(make, folder, tmp_path):
    skops.io.dump(MODEL, tmp_path / "models" / "plain@1.skops")
    primary = Watched(folder)
    fill_redis(make, primary, "plain@1")

    assert np.array_equal(MODEL.predict(ROWS), make(primary).load("plain@1").model.predict(ROWS))
    assert [] == primary.fetched


def test_policy_of_the_primary_store_applies_to_cached_files(make, sql, admin, key_pair):
    primary = Watched(sql)
    fill_redis(make, primary)
    signing = Watched(SqlModelStore(str(sql._db.url), public_keys=[key_pair.public]))
    store = make(signing)
    for method in (store.load, store.describe):
        with pytest.raises(ConfigurationError, match="not signed"):
            method("churn@1")
    signing.close()

    assert ["churn@1"] == signing.fetched


def test_redis_store_raises_not_found(make, primary):
    for name in ("none", "churn@2", "../churn", "churn@../1", "churn@\n"):
        for method in (make(primary).load, make(primary).describe):
            with pytest.raises(NotFound):
                method(name)


def test_ttl_of_cached_files(make, primary, admin):
    fill_redis(make, primary)
    assert -1 == admin.pttl(redis_key(make))
    for kind in ("model", "sidecars"):
        admin.delete(redis_key(make, kind))
    fill_redis(make, primary, ttl=100.0)

    assert {True} == {0 < admin.pttl(redis_key(make, kind)) <= 100_000 for kind in ("model", "sidecars")}


def test_load_does_not_wait_for_writes(make, primary, monkeypatch):
    """A file that is being written is not written twice."""
    store, go, started = make(primary), threading.Event(), threading.Event()
    write = store._writer.set

    def slow(*args, **options):
        started.set()
        assert go.wait(SOON)
        return write(*args, **options)

    monkeypatch.setattr(store._writer, "set", slow)
    loaded = store.load("churn@1")
    assert started.wait(SOON)
    store.load("churn@1")
    writing = set(store._writing)
    go.set()
    wait_for_writes(store)

    assert ("1", {"churn@1"}, set()) == (loaded.manifest.version, writing, store._writing)
    assert ["churn@1"] * 2 == primary.fetched
    primary.down = True
    assert "1" == make(primary).load("churn@1").manifest.version


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_redis_store_works_after_a_fork(make, primary):
    store = fill_redis(make, primary)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def child():
        version = store.load("churn@1").manifest.version
        wait_for_writes(store)
        results.put((version, primary.fetched))

    process = context.Process(target=child)
    process.start()
    process.join(SOON)

    assert 0 == process.exitcode
    assert ("1", []) == results.get()


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_gate_serves_from_redis(make, primary, interface):
    """An invalid row loads no model."""
    fill_redis(make, primary)
    primary.down = True
    gate = Gate(
        [Deployment("churn", "store:churn@1")], keys="open", store=make(primary), poll_interval=10_000
    )
    client = Client(getattr(gate, interface))
    faulty = client.post("/simple/churn", json={"x0": 1})
    cold = gate.deployments.cache.cache_info().misses
    answer = client.post("/simple/churn", json=ROW)

    assert (400, ["x1"], 0) == (faulty.status, faulty.json()["missing_columns"], cold)
    assert (200, "yes") == (answer.status, answer.json()["prediction"])


def test_gate_checks_files_of_the_primary_store_at_startup(make, folder, tmp_path):
    joblib.dump(MODEL, tmp_path / "models" / "risk@1.joblib")
    with pytest.raises(ConfigurationError, match="pin it"):
        Gate([Deployment("risk", "store:risk@1")], keys="open", store=make(folder))
    gate = Gate([Deployment("churn", "store:churn@1", sha256="0" * 64)], keys="open", store=make(folder))

    assert 503 == Client(gate.wsgi).post("/simple/churn", json=ROW).status


# What is not believed


@settings(max_examples=100)
@given(st.one_of(st.binary(max_size=200), st.tuples(st.integers(0), st.integers(0, 255)), st.integers(0)))
def test_redis_store_survives_any_content(redis_server, tmp_path_factory, change):
    """Any bytes, a changed byte, a truncated entry: a cache miss, or the original model."""
    scope = f"hypothesis{os.getpid()}"
    folder = tmp_path_factory.getbasetemp() / scope
    if not folder.exists():
        folder.mkdir()
        package().save(folder / "churn@1.mgpkg")
    primary = Watched(FolderStore(folder))
    store = RedisCachedStore(primary, redis_server.uri, key=KEY, namespace=scope, timeout=SOON)
    store.load("churn@1")
    wait_for_writes(store)
    with redis.Redis.from_url(redis_server.uri) as admin:
        for kind in ("model", "sidecars"):
            entry_key = f"modelgate:{scope}:{kind}:churn@1"
            admin.set(entry_key, change_content(admin.get(entry_key), change))

    assert "1" == store.load("churn@1").manifest.version
    assert ("x0", "x1") == store.describe("churn@1").schema.names
    wait_for_writes(store)


def change_content(good, change):
    if isinstance(change, bytes):
        return change
    if isinstance(change, int):
        return good[: change % len(good)]
    index, value = change[0] % len(good), change[1]
    return good[:index] + bytes([value]) + good[index + 1 :]


@given(st.binary(), st.text(st.characters(codec="utf-8", exclude_characters="\n")), st.binary(max_size=80))
def test_signed_blob(content, slot, other):
    signer = SignedBlob(KEY, "tests")

    assert content == signer.verify(slot, signer.sign(slot, content))
    for foreign in (SignedBlob(KEY + "!", "tests"), SignedBlob(KEY, "other")):
        assert signer.verify(slot, foreign.sign(slot, content)) is None
    assert signer.verify(slot + "!", signer.sign(slot, content)) is None
    assert signer.verify(slot, other) is None


def test_redis_store_rejects_misplaced_entries(make, primary, admin, caplog):
    """An entry is valid for its version, kind, namespace and key only."""
    fill_redis(make, primary)
    model, sidecars = admin.get(redis_key(make)), admin.get(redis_key(make, "sidecars"))
    admin.set(redis_key(make), sidecars)
    admin.set(redis_key(make, "sidecars"), model)
    admin.set(redis_key(make, version="churn@2"), model)
    admin.set("modelgate:elsewhere:model:churn@1", model)
    store = make(primary)

    assert "1" == store.load("churn@1").manifest.version
    assert "1" == store.describe("churn@1").manifest.version
    with pytest.raises(NotFound):
        store.load("churn@2")
    wait_for_writes(store)
    for options in ({"namespace": "elsewhere"}, {"key": KEY.encode() + b"!"}):
        other = make(primary, **options)
        other.load("churn@1")
        wait_for_writes(other)
    assert ["churn@1"] * 3 == primary.fetched
    assert {FOREIGN} == {line.partition(" in Redis: ")[2] for line in warnings_in(caplog)}


def test_redis_store_warns_once_per_version(make, primary, admin, caplog):
    """The foreign entry is overwritten."""
    admin.set(redis_key(make), b"foreign")
    admin.set(redis_key(make, "sidecars"), b"foreign")
    store = make(primary)
    for _ in range(3):
        store.describe("churn@1")
    store.load("churn@1")
    wait_for_writes(store)
    store.load("churn@1")

    assert ["churn@1"] == primary.fetched
    assert [f"model churn@1 in Redis: {FOREIGN}"] == warnings_in(caplog)


def test_entry_of_another_redis_type_is_a_miss(make, primary, admin, caplog):
    """It does not count as an outage."""
    admin.lpush(redis_key(make), "a")
    store = make(primary)

    assert "1" == store.load("churn@1").manifest.version
    assert ["WRONGTYPE"] == [line.split("cannot be read or written: ")[1][:9] for line in warnings_in(caplog)]
    assert not store._breaker.open


def test_full_redis_is_not_an_outage(redis_server, make, primary, admin, caplog):
    fill_redis(make, primary)
    admin.config_set("maxmemory", "1")
    try:
        store = make(primary, namespace="full")
        store.load("churn@1")
        wait_for_writes(store)
        make(primary).load("churn@1")
    finally:
        admin.config_set("maxmemory", "0")

    assert (["churn@1"], False) == (primary.fetched, store._breaker.open)
    assert 1 == len(warnings_in(caplog))


def test_large_files_are_neither_written_nor_read(make, primary, admin, caplog):
    store = make(primary, max_bytes=100)
    store.load("churn@1")
    wait_for_writes(store)
    assert [] == admin.keys(f"modelgate:{make.namespace}:*")
    fill_redis(make, primary)
    make(primary, max_bytes=100).load("churn@1")

    assert ["churn@1"] == primary.fetched
    assert ["not written: the file is larger than max_bytes=100", FOREIGN] == [
        line.partition(" in Redis: ")[2] for line in warnings_in(caplog)
    ]


# Options


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("key", value) for value in (None, "", "short", b"short", 16)),
        *(("namespace", value) for value in ("", "a b", "a:b", "a\n", None)),
        *(("ttl", value) for value in (0, -1, "1", float("nan"), float("inf"))),
        *(("timeout", value) for value in (0, -1, None, "1", float("nan"))),
        *(("max_bytes", value) for value in (0, -1, 1.5, None, 2**30)),
        *(("uri", value) for value in ("http://x", "redis://:s3cret@[", "redis://x/?s3cret=1")),
        *(("primary", value) for value in (MemoryStore({}), None)),
    ],
)
def test_redis_store_rejects_invalid_options(folder, option, value):
    """Without showing a secret."""
    options = {"primary": folder, "uri": "redis://nowhere.invalid", "key": KEY, option: value}
    with pytest.raises(ConfigurationError, match=f"^{option}") as info:
        RedisCachedStore(options.pop("primary"), options.pop("uri"), **options)

    assert "s3cret" not in str(info.value) and "short" not in str(info.value)


def test_redis_store_repr_hides_the_key(make, folder):
    text = repr(make(folder))

    assert "RedisCachedStore" in text
    assert KEY not in text


def test_redis_store_names_the_missing_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.retry", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[redis\]"'):
        RedisCachedStore(folder, "redis://nowhere.invalid", key=KEY)
