"""Models in Redis, before the store they come from."""

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

from modelgate import ConfigurationError, Deployment, FolderStore, Gate, ModelPackage, NotFound, StoreError
from modelgate.models import MemoryStore, SharedStore, SqlModelStore
from modelgate.models.seal import Seal
from modelgate.testing import Client

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
MODEL = LogisticRegression().fit(ROWS, YES)
ROW = {"x0": 1, "x1": 2}

scopes = map("scope{}".format, itertools.count())


def package(version="1", **options):
    return ModelPackage.from_estimator(MODEL, ROWS, name="churn", version=version, **options)


class Watched:
    """A store that notes the files it gives out, and may be down."""

    def __init__(self, store):
        self._store, self.down, self.fetched = store, False, []

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _asked(self):
        if self.down:
            raise StoreError

    def version(self, name):
        self._asked()
        return self._store.version(name)

    def mark(self, name):
        self._asked()
        return self._store.mark(name)

    def describe(self, name):
        self._asked()
        return self._store.describe(name)

    def fetch(self, version):
        self._asked()
        self.fetched.append(version)
        return self._store.fetch(version)


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
    """Makes stores over one scope, each as another process would have it."""
    scope = next(scopes)

    def made(primary, **options):
        return SharedStore(primary, redis_server.uri, **{"key": KEY, "scope": scope, **options})

    made.scope = scope
    return made


@pytest.fixture
def admin(redis_server):
    with redis.Redis.from_url(redis_server.uri) as client:
        yield client


def settled(store):
    """Wait until *store* has written what it was to write."""
    store._workers._share.submit(lambda: None).result(30)


def place(make, kind="model", version="churn@1"):
    return f"modelgate:{make.scope}:{kind}:{version}"


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# What is found there


def kept(make, primary, name="churn@1", **options):
    """A store over Redis that has the model."""
    store = make(primary, **options)
    store.load(name)
    settled(store)
    primary.fetched.clear()
    return store


@pytest.mark.parametrize("name", ["churn@1", "churn", "churn@latest"])
def test_the_next_process_finds_it(make, primary, name):
    """The very package, by whichever name, and the primary store is not asked for its file again."""
    kept(make, primary, name)
    expected, loaded = primary.load(name), make(primary).load(name)

    assert [] == primary.fetched
    assert np.array_equal(MODEL.predict_proba(ROWS), loaded.model.predict_proba(ROWS))
    assert (expected.sha256, expected.manifest) == (loaded.sha256, loaded.manifest)


def test_a_version_needs_no_primary_store(make, primary):
    """While that is down, it is loaded, described and watched; what it means just now is not known."""
    kept(make, primary)
    primary.down = True
    store = make(primary)

    assert ("1", ("x0", "x1"), "churn@1") == (
        store.load("churn@1").manifest.version,
        store.describe("churn@1").schema.names,
        store.mark("churn@1"),
    )
    for method in (store.load, store.describe, store.mark):
        with pytest.raises(StoreError):
            method("churn")


def test_what_a_name_means_is_asked_of_the_primary_store(make, sql):
    """At once, also where Redis has what it meant before."""
    store, primary = make(sql), Watched(sql)
    sql.alias("churn", "production", "1")
    before = [store.load(name).manifest.version for name in ("churn", "churn@production")]
    sql.save(package("2"))
    sql.alias("churn", "production", "2")
    settled(store)
    after = [make(primary).load(name).manifest.version for name in ("churn", "churn@production")]

    assert (["1", "1"], ["2", "2"]) == (before, after)
    assert "2" == store.describe("churn@production").manifest.version


def test_what_bears_no_version_is_not_kept(make, folder, admin, tmp_path):
    """Its file may be replaced; a link means what it leads to, a copy and a folder mean themselves."""
    models, store = tmp_path / "models", make(folder)
    content = (models / "churn@1.mgpkg").read_bytes()
    (models / "churn.mgpkg").write_bytes(content)
    (models / "churn@copy.mgpkg").write_bytes(content)
    package("2").save(models / "churn@2.mgpkg", folder=True)
    for name in ("churn", "churn@copy", "churn@2"):
        store.load(name)
    settled(store)
    assert [] == admin.keys(f"modelgate:{make.scope}:*")
    (models / "churn@link.mgpkg").symlink_to("churn@1.mgpkg")
    store.load("churn@link")
    package("3").save(models / "churn.mgpkg")

    settled(store)

    assert "3" == store.load("churn").manifest.version
    assert {place(make).encode(), place(make, "sidecars").encode()} == set(
        admin.keys(f"modelgate:{make.scope}:*")
    )


def test_bare_files(make, folder, admin, tmp_path):
    """Are kept too, under the same rules: a pickle needs its pin, also from Redis."""
    joblib.dump(MODEL, tmp_path / "models" / "risk@1.joblib")
    digest = hashlib.sha256((tmp_path / "models" / "risk@1.joblib").read_bytes()).hexdigest()
    primary = Watched(folder)
    store = make(primary)
    store.load("risk@1", sha256=digest)
    settled(store)

    assert MODEL.classes_.tolist() == make(primary).load("risk@1", sha256=digest).model.classes_.tolist()
    assert (["risk@1"], None) == (primary.fetched, make(primary).describe("risk@1"))
    for pin, told in ((None, "pickle"), ("0" * 64, "digest")):
        with pytest.raises(ConfigurationError, match=told):
            make(primary).load("risk@1", sha256=pin)


def test_skops_files_are_kept(make, folder, tmp_path):
    """Under their own suffix, which is signed too."""
    skops.io.dump(MODEL, tmp_path / "models" / "plain@1.skops")
    primary = Watched(folder)
    kept(make, primary, "plain@1")

    assert np.array_equal(MODEL.predict(ROWS), make(primary).load("plain@1").model.predict(ROWS))
    assert [] == primary.fetched


def test_the_rules_of_the_primary_store_hold(make, sql, admin):
    """What Redis has is refused by a signature that is asked for since, and then the file itself is."""
    primary = Watched(sql)
    kept(make, primary)
    signing = Watched(SqlModelStore(str(sql._url), key=KEY))
    store = make(signing)
    for method in (store.load, store.describe):
        with pytest.raises(ConfigurationError, match="not signed"):
            method("churn@1")
    signing.close()

    assert ["churn@1"] == signing.fetched


def test_what_is_not_there(make, primary):
    """Is not found, and a name that is no token neither."""
    for name in ("none", "churn@2", "../churn", "churn@../1", "churn@\n"):
        for method in (make(primary).load, make(primary).describe):
            with pytest.raises(NotFound):
                method(name)


def test_how_long_it_is_kept(make, primary, admin):
    """For ever, or as long as was said."""
    kept(make, primary)
    assert -1 == admin.pttl(place(make))
    for kind in ("model", "sidecars"):
        admin.delete(place(make, kind))
    kept(make, primary, ttl=100.0)

    assert {True} == {99_000 < admin.pttl(place(make, kind)) <= 100_000 for kind in ("model", "sidecars")}


def test_a_load_does_not_wait_for_redis_to_be_written(make, primary, monkeypatch):
    """It is done while Redis is still being written; other writes than a few are left out meanwhile."""
    store, go, began = make(primary), threading.Event(), threading.Event()
    write = store._writer.set

    def slow(*args, **options):
        began.set()
        assert go.wait(30)
        return write(*args, **options)

    monkeypatch.setattr(store._writer, "set", slow)
    loaded = store.load("churn@1")
    assert began.wait(30)
    store.load("churn@1")
    writing = set(store._writing)
    go.set()
    settled(store)

    assert ("1", {"churn@1"}, set()) == (loaded.manifest.version, writing, store._writing)
    assert ["churn@1"] * 2 == primary.fetched
    primary.down = True
    assert "1" == make(primary).load("churn@1").manifest.version


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process(make, primary):
    """Asks and writes by itself, also where its parent has done so."""
    store = kept(make, primary)
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def child():
        version = store.load("churn@1").manifest.version
        settled(store)
        told.put((version, primary.fetched))

    process = context.Process(target=child)
    process.start()
    process.join(60)

    assert 0 == process.exitcode
    assert ("1", []) == told.get()


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_gate(make, primary, interface):
    """A faulty row takes no model from anywhere; a good one is answered out of Redis."""
    kept(make, primary)
    primary.down = True
    gate = Gate([Deployment("churn", "store:churn@1")], keys="open", store=make(primary), watch=10_000)
    client = Client(getattr(gate, interface))
    faulty = client.post("/simple/churn", json={"x0": 1})
    cold = gate.cache.cache_info().misses
    answer = client.post("/simple/churn", json=ROW)

    assert (400, ["x1"], 0) == (faulty.status, faulty.json()["missing_columns"], cold)
    assert (200, "yes") == (answer.status, answer.json()["prediction"])


def test_a_gate_that_starts(make, folder, tmp_path):
    """Is told of a file that cannot be loaded, as by the primary store; a pin is taken."""
    joblib.dump(MODEL, tmp_path / "models" / "risk@1.joblib")
    with pytest.raises(ConfigurationError, match="pin it"):
        Gate([Deployment("risk", "store:risk@1")], keys="open", store=make(folder))
    gate = Gate([Deployment("churn", "store:churn@1", sha256="0" * 64)], keys="open", store=make(folder))

    assert 503 == Client(gate.wsgi).post("/simple/churn", json=ROW).status


# What is not believed


@settings(max_examples=100)
@given(st.one_of(st.binary(max_size=200), st.tuples(st.integers(0), st.integers(0, 255)), st.integers(0)))
def test_whatever_lies_in_redis(redis_server, tmp_path_factory, change):
    """Any bytes, a good entry with a byte changed, its beginning: a miss, or what was put there."""
    scope = f"hypothesis{os.getpid()}"
    folder = tmp_path_factory.getbasetemp() / scope
    if not folder.exists():
        folder.mkdir()
        package().save(folder / "churn@1.mgpkg")
    primary = Watched(FolderStore(folder))
    store = SharedStore(primary, redis_server.uri, key=KEY, scope=scope)
    store.load("churn@1")
    settled(store)
    with redis.Redis.from_url(redis_server.uri) as admin:
        for kind in ("model", "sidecars"):
            at = f"modelgate:{scope}:{kind}:churn@1"
            admin.set(at, _changed(admin.get(at), change))

    assert "1" == store.load("churn@1").manifest.version
    assert ("x0", "x1") == store.describe("churn@1").schema.names
    settled(store)


def _changed(good, change):
    if isinstance(change, bytes):
        return change
    if isinstance(change, int):
        return good[: change % len(good)]
    at, value = change[0] % len(good), change[1]
    return good[:at] + bytes([value]) + good[at + 1 :]


@given(st.binary(), st.text(st.characters(codec="utf-8", exclude_characters="\n")), st.binary(max_size=80))
def test_a_seal(content, place, other):
    """Is good for its place and content, and for its key and purpose; nothing else opens."""
    seal = Seal(KEY, "tests")

    assert content == seal.open(place, seal.close(place, content))
    for foreign in (Seal(KEY + "!", "tests"), Seal(KEY, "other")):
        assert seal.open(place, foreign.close(place, content)) is None
    assert seal.open(place + "!", seal.close(place, content)) is None
    assert seal.open(place, other) is None


def test_entries_in_the_place_of_others(make, primary, admin, caplog):
    """Each is good for its own version, kind, scope and key alone."""
    kept(make, primary)
    model, sidecars = admin.get(place(make)), admin.get(place(make, "sidecars"))
    admin.set(place(make), sidecars)
    admin.set(place(make, "sidecars"), model)
    admin.set(place(make, version="churn@2"), model)
    admin.set("modelgate:elsewhere:model:churn@1", model)
    store = make(primary)

    assert "1" == store.load("churn@1").manifest.version
    assert "1" == store.describe("churn@1").manifest.version
    with pytest.raises(NotFound):
        store.load("churn@2")
    settled(store)
    for options in ({"scope": "elsewhere"}, {"key": KEY.encode() + b"!"}):
        other = make(primary, **options)
        other.load("churn@1")
        settled(other)
    assert ["churn@1"] * 3 == primary.fetched
    assert {"is not one that was put there with this key"} == {
        line.partition(" in Redis ")[2] for line in warnings_in(caplog)
    }


def test_a_warning_is_told_once(make, primary, admin, caplog):
    """And what was foreign is replaced by what is right."""
    admin.set(place(make), b"foreign")
    admin.set(place(make, "sidecars"), b"foreign")
    store = make(primary)
    for _ in range(3):
        store.describe("churn@1")
    store.load("churn@1")
    settled(store)
    store.load("churn@1")

    assert ["churn@1"] == primary.fetched
    assert ["the entry of churn@1 in Redis is not one that was put there with this key"] == warnings_in(
        caplog
    )


def test_an_entry_of_another_type(make, primary, admin, caplog):
    """A list is no model: a miss and a warning, and no outage."""
    admin.lpush(place(make), "a")
    store = make(primary)

    assert "1" == store.load("churn@1").manifest.version
    assert ["WRONGTYPE"] == [line.split("cannot be read or written: ")[1][:9] for line in warnings_in(caplog)]
    assert not store._breaker.open


def test_a_redis_that_is_full(redis_server, make, primary, admin, caplog):
    """Takes no more, and is no outage: what it has is still read."""
    kept(make, primary)
    admin.config_set("maxmemory", "1")
    try:
        store = make(primary, scope="full")
        store.load("churn@1")
        settled(store)
        make(primary).load("churn@1")
    finally:
        admin.config_set("maxmemory", "0")

    assert (["churn@1"], False) == (primary.fetched, store._breaker.open)
    assert 1 == len(warnings_in(caplog))


def test_what_is_too_large(make, primary, admin, caplog):
    """Is not put there; and what others have put there is not read."""
    store = make(primary, max_bytes=100)
    store.load("churn@1")
    settled(store)
    assert [] == admin.keys(f"modelgate:{make.scope}:*")
    kept(make, primary)
    make(primary, max_bytes=100).load("churn@1")

    assert ["churn@1"] == primary.fetched
    assert ["would be larger than max_bytes=100", "is not one that was put there with this key"] == [
        line.partition(" in Redis ")[2] for line in warnings_in(caplog)
    ]


# Options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("key", value) for value in (None, "", "short", b"short", 16)),
        *(("scope", value) for value in ("", "a b", "a:b", "a\n", None)),
        *(("ttl", value) for value in (0, -1, "1", float("nan"), float("inf"))),
        *(("timeout", value) for value in (0, -1, None, "1", float("nan"))),
        *(("max_bytes", value) for value in (0, -1, 1.5, None, 2**30)),
        *(("uri", value) for value in ("http://x", "redis://:s3cret@[", "redis://x/?s3cret=1")),
        *(("primary", value) for value in (MemoryStore({}), None)),
    ],
)
def test_options_that_cannot_work(folder, option, value):
    """Are refused and named, and no secret is shown."""
    given = {"primary": folder, "uri": "redis://nowhere.invalid", "key": KEY, option: value}
    with pytest.raises(ConfigurationError, match=f"^{option}") as info:
        SharedStore(given.pop("primary"), given.pop("uri"), **given)

    assert "s3cret" not in str(info.value) and "short" not in str(info.value)


def test_its_text_shows_no_key(make, folder):
    """Nor the URI."""
    text = repr(make(folder))

    assert "SharedStore" in text
    assert KEY not in text


def test_without_the_extra_it_is_named(folder, monkeypatch):
    """In one line, at construction."""
    monkeypatch.setitem(sys.modules, "redis.retry", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[redis\]"'):
        SharedStore(folder, "redis://nowhere.invalid", key=KEY)
