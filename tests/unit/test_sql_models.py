"""Packages in a database."""

import contextlib
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from sklearn.linear_model import LogisticRegression

import modelgate.models
from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, NotFound, StoreError
from modelgate.models import SqlModelStore
from modelgate.models.within import within
from modelgate.testing import Client, Clock

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
MODEL = LogisticRegression().fit(ROWS, YES)
ROW = {"x0": 1, "x1": 2}


def package(name="churn", version="1", **options):
    return ModelPackage.from_estimator(MODEL, ROWS, name=name, version=version, **options)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/models.db"
    return request.getfixturevalue("postgres").emptied()


@pytest.fixture
def make(url):
    """Makes stores over the one database, and closes them."""
    with contextlib.ExitStack() as stores:

        def opened(**options):
            store = SqlModelStore(url, **options)
            stores.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(make):
    return make(clock=Clock())


def test_what_is_kept_is_given_back(store):
    """The very package, and what is told of it."""
    stored = store.save(package(threshold=0.3))
    loaded = store.load("churn@1")
    sidecars = store.describe("churn@1")

    assert np.array_equal(MODEL.predict_proba(ROWS), loaded.model.predict_proba(ROWS))
    assert ("churn", "1", stored.sha256, 0.3) == (
        loaded.manifest.name,
        loaded.manifest.version,
        loaded.sha256,
        loaded.manifest.threshold,
    )
    assert (loaded.manifest, loaded.schema.columns) == (sidecars.manifest, sidecars.schema.columns)
    assert datetime.fromtimestamp(1_700_000_000, UTC) == stored.created
    assert [stored] == store.list()


def test_versions_and_aliases(store):
    """By number, the newest one, or the one that an alias means now; without numbers the one saved last."""
    for version in ("9", "10", "2"):
        store.save(package(version=version))
    for version in ("green", "blue"):
        store.save(package("price", version))
    store.alias("churn", "production", "9")
    asked = ("churn", "churn@latest", "churn@10", "churn@production", "price")
    first = [store.load(name).manifest.version for name in asked]
    store.alias("churn", "production", "10")
    store.alias("churn", "staging", "10")

    assert ["10", "10", "10", "9", "blue"] == first
    assert "10" == store.describe("churn@production").manifest.version
    assert [("9", ()), ("10", ("production", "staging")), ("2", ())] == [
        (it.version, it.aliases) for it in store.list("churn")
    ]
    assert ["churn"] * 3 + ["price"] * 2 == [it.name for it in store.list()]


@pytest.mark.parametrize(
    "name", ["none", "churn@2", "churn@", "../churn", "churn@../1", "sqlite://x", "churn\0", "%"]
)
def test_what_is_not_there(store, name):
    """Neither it nor a name that is no token is found."""
    store.save(package())
    for method in (store.load, store.describe):
        with pytest.raises(NotFound):
            method(name)


def test_a_version_never_changes(store):
    """It is saved once; it is no alias, and no alias is it."""
    store.save(package())
    store.alias("churn", "production", "1")
    for version in ("1", "latest", "production"):
        with pytest.raises(ConfigurationError, match=f"version='{version}'"):
            store.save(package(version=version))
    for alias in ("latest", "1", "a/b", ""):
        with pytest.raises(ConfigurationError, match="alias="):
            store.alias("churn", alias, "1")
    for name, version in (("churn", "2"), ("none", "1")):
        with pytest.raises(NotFound):
            store.alias(name, "production", version)

    assert ["1"] == [it.version for it in store.list()]


def test_pins(store, make):
    """By name and version, or by the deployment; an alias has the pin of what it means."""
    digest = store.save(package()).sha256
    store.alias("churn", "production", "1")
    pinned = make(sha256={"churn@1": "0" * 64})

    assert "churn" == store.load("churn", sha256=digest).manifest.name
    for name in ("churn", "churn@1", "churn@production"):
        with pytest.raises(ConfigurationError, match="digest"):
            pinned.load(name)


def test_a_pickle(make):
    """By permission and with a pin, as everywhere."""
    store = make(allow_pickle=True)
    digest = store.save(package(format="joblib")).sha256
    with pytest.raises(ConfigurationError, match="holds a pickle"):
        store.load("churn")

    assert MODEL.classes_.tolist() == store.load("churn", sha256=digest).model.classes_.tolist()


def test_whoever_writes_to_the_database(make):
    """Can put nothing in the place of a signed package: nothing of his own, and no other one."""
    store = make(key=KEY)
    store.save(package())
    store.save(package("price", "1"))
    store.save(package(version="2"))
    unsigned = make()
    unsigned.save(package("fraud"))
    with pytest.raises(ConfigurationError, match="not signed"):
        store.load("fraud")
    columns = {"sidecars", "package"}
    for other in ("name = 'price'", "version = '2'"):
        with store._transaction() as connection:
            for column in columns:
                connection.execute(
                    sa.text(
                        f"UPDATE modelgate_models SET {column} ="
                        f" (SELECT m.{column} FROM modelgate_models m WHERE m.{other})"
                        " WHERE name = 'churn' AND version = '1'"
                    )
                )
        for method in (store.load, store.describe):
            with pytest.raises(ConfigurationError, match="churn@1: holds the package"):
                method("churn@1")


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_gate_over_a_database(store, interface):
    """A faulty row loads no model; a reload finds the version that is the latest by then."""
    store.save(package(threshold=0.999))
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=store)
    client = Client(getattr(gate, interface))
    faulty = client.post("/simple/churn", json={"x0": 1})
    cold = gate.cache.cache_info().misses
    first = client.post("/simple/churn", json=ROW).json()
    store.save(package(version="2", threshold=0.001))
    gate.reload("churn")
    second = client.post("/simple/churn", json=ROW).json()

    assert (400, ["x1"], 0) == (faulty.status, faulty.json()["missing_columns"], cold)
    assert ("no", "yes") == (first["prediction"], second["prediction"])


def test_a_deployment_may_pin(store):
    """What another digest has is 503."""
    digest = store.save(package()).sha256
    for pin, status in ((digest, 200), ("0" * 64, 503)):
        gate = Gate([Deployment("churn", "store:churn", sha256=pin)], keys="open", store=store)

        assert status == Client(gate.wsgi).post("/simple/churn", json=ROW).status


def test_a_database_that_goes_and_comes_back(postgres, caplog):
    """What is loaded goes on; what is not is 503 with Retry-After, and there again when the database is."""
    store = SqlModelStore(postgres.emptied())
    store.save(package())
    deployments = [Deployment("warm", "store:churn"), Deployment("cold", "store:churn")]
    gate = Gate(deployments, keys="open", store=store)
    client = Client(gate.wsgi)
    before = client.post("/simple/warm", json=ROW)
    postgres.stop()
    try:
        warm, cold = (client.post(f"/simple/{name}", json=ROW) for name in ("warm", "cold"))
    finally:
        postgres.start()
    for cache in (gate.cache, gate._described):
        cache._failures.clear()
    after = client.post("/simple/cold", json=ROW)
    store.close()

    assert [200, 200, 503, 200] == [answer.status for answer in (before, warm, cold, after)]
    assert "1" == cold.header("retry-after")
    assert b"127.0.0.1" not in cold.body
    assert postgres.password not in caplog.text


def test_a_database_that_hangs(postgres, monkeypatch):
    """Is not waited for without end, in whatever thread; and then it is there again."""
    with contextlib.closing(SqlModelStore(postgres.emptied())) as store:
        store.save(package())
        with postgres.hanging():
            monkeypatch.setattr("modelgate.database.patience._SILENCE", 0.5)
            with pytest.raises(StoreError):
                within(60, partial(store.mark, "churn"), set())

        assert "churn@1" == store.mark("churn")[0]


def at_once(acts):
    """What each of *acts* gives, or raises, when all begin together."""
    barrier = threading.Barrier(len(acts))

    def run(act):
        barrier.wait()
        try:
            return act()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))


def test_many_save_at_once(make):
    """Each version is there once, and each has a number of its own; of two of one, one is told so."""
    stores, packages = [make() for _ in range(9)], [package(version=str(max(at, 1))) for at in range(9)]
    told = at_once([partial(it.save, each) for it, each in zip(stores, packages, strict=True)])
    refused = [result for result in told if isinstance(result, Exception)]

    assert [str(at) for at in range(1, 9)] == sorted(it.version for it in stores[0].list())
    assert [ConfigurationError] == [type(error) for error in refused]
    assert "version='1'" in str(refused[0])


def test_many_set_an_alias_at_once(make):
    """It means what one of them says."""
    stores = [make() for _ in range(8)]
    for version in ("1", "2"):
        stores[0].save(package(version=version))
    told = at_once(
        [partial(it.alias, "churn", "production", str(at % 2 + 1)) for at, it in enumerate(stores)]
    )

    assert [None] * 8 == told
    assert stores[0].load("churn@production").manifest.version in ("1", "2")


def test_who_may_not_write_is_told(url, make):
    """And not that the database is not there; reading goes on."""
    store = make()
    store.save(package())
    store.close()
    option = "-c default_transaction_read_only=on"
    readonly = f"{url}?options={quote(option)}" if url.startswith("postgresql") else url
    with contextlib.closing(SqlModelStore(readonly)) as reader:
        if reader.backend == "sqlite":
            sa.event.listen(reader._engine, "connect", lambda it, _: it.execute("PRAGMA query_only=1"))
        for write in (
            lambda: reader.save(package(version="2")),
            lambda: reader.alias("churn", "production", "1"),
        ):
            with pytest.raises(ConfigurationError, match="does not let its user write"):
                write()

        assert "1" == reader.load("churn").manifest.version


def test_who_lacks_a_right_is_told(postgres):
    """Of a user in PostgreSQL who may only read."""
    with contextlib.closing(SqlModelStore(postgres.emptied())) as store:
        store.save(package())
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reads'")
        connection.execute("GRANT SELECT ON modelgate_models, modelgate_aliases TO reader")
    url = sa.make_url(postgres.url).set(username="reader", password="reads")
    with contextlib.closing(SqlModelStore(url.render_as_string(hide_password=False))) as reader:
        with pytest.raises(ConfigurationError, match="does not let its user write"):
            reader.save(package(version="2"))

        assert "1" == reader.load("churn").manifest.version


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_asks_by_itself(store):
    """A store used before a fork answers in the child too."""
    store.save(package())
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=lambda: told.put(store.describe("churn").manifest.name))
    child.start()
    child.join(60)

    assert (0, "churn") == (child.exitcode, told.get())
    assert "churn" == store.describe("churn").manifest.name


@pytest.mark.parametrize(
    "url", ["mysql://me:s3cret@host/models", "models.db", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_that_cannot_work(url):
    """Is refused without showing it."""
    with pytest.raises(ConfigurationError, match=r"models: .*accepts sqlite:///path") as info:
        SqlModelStore(url)

    assert "s3cret" not in str(info.value)


def test_a_database_that_is_not_there(tmp_path):
    """Is 503, without its URL."""
    store = SqlModelStore("postgresql://me:s3cret@127.0.0.1:1/models")
    with pytest.raises(StoreError) as info:
        store.load("churn")

    assert "s3cret" not in str(info.value) + repr(store)


def test_the_module_has_nothing_else():
    """A name that is none is an AttributeError."""
    with pytest.raises(AttributeError, match="SqlModels"):
        _ = modelgate.models.SqlModels
