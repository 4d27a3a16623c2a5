"""Model packages in a database."""

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
from modelgate.flow.fair_pool import FairThreadPool
from modelgate.models import SqlModelStore
from modelgate.testing import Client, FakeClock
from support.databases import DATABASES, make_database
from support.waiting import SOON

ROWS = np.random.default_rng(0).normal(size=(60, 2))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
MODEL = LogisticRegression().fit(ROWS, YES)
ROW = {"x0": 1, "x1": 2}


def package(name="churn", version="1", **options):
    return ModelPackage.from_estimator(MODEL, ROWS, name=name, version=version, **options)


@pytest.fixture(params=DATABASES)
def url(request):
    return make_database(request.param, request)


@pytest.fixture
def make(url):
    """Creates stores over the database, and closes them."""
    with contextlib.ExitStack() as stores:

        def opened(**options):
            store = SqlModelStore(url, **options)
            stores.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(make):
    return make(clock=FakeClock())


def test_sql_store_round_trip(store):
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


@pytest.mark.slow
def test_sql_store_resolves_versions_and_aliases(store):
    """Without numbers, the latest is the version saved last."""
    for version in ("9", "10", "2"):
        store.save(package(version=version))
    for version in ("green", "blue"):
        store.save(package("price", version))
    store.alias("churn", "production", "9")
    names = ("churn", "churn@latest", "churn@10", "churn@production", "price")
    first = [store.load(name).manifest.version for name in names]
    store.alias("churn", "production", "10")
    store.alias("churn", "staging", "10")

    assert ["10", "10", "10", "9", "blue"] == first
    assert "10" == store.describe("churn@production").manifest.version
    assert [("9", ()), ("10", ("production", "staging")), ("2", ())] == [
        (model.version, model.aliases) for model in store.list("churn")
    ]
    assert ["churn"] * 3 + ["price"] * 2 == [model.name for model in store.list()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["none", "churn@2", "churn@", "../churn", "churn@../1", "sqlite://x", "churn\0", "%"]
)
def test_sql_store_raises_not_found(store, name):
    store.save(package())
    for method in (store.load, store.describe):
        with pytest.raises(NotFound):
            method(name)


def test_sql_store_never_overwrites_a_version(store):
    store.save(package())
    store.alias("churn", "production", "1")
    for version in ("1", "latest", "production"):
        with pytest.raises(ConfigurationError, match=f"version must not be .*'{version}'"):
            store.save(package(version=version))
    for alias in ("latest", "1", "a/b", ""):
        with pytest.raises(ConfigurationError, match="alias must"):
            store.alias("churn", alias, "1")
    for name, version in (("churn", "2"), ("none", "1")):
        with pytest.raises(NotFound):
            store.alias(name, "production", version)

    assert ["1"] == [model.version for model in store.list()]


def test_sql_store_checks_pins(store, make):
    """An alias has the pin of its version."""
    digest = store.save(package()).sha256
    store.alias("churn", "production", "1")
    pinned = make(sha256={"churn@1": "0" * 64})

    assert "churn" == store.load("churn", sha256=digest).manifest.name
    for name in ("churn", "churn@1", "churn@production"):
        with pytest.raises(ConfigurationError, match="digest"):
            pinned.load(name)


def test_sql_store_needs_permission_and_pin_for_a_pickle(make):
    store = make(allow_pickle=True)
    digest = store.save(package(format="joblib")).sha256
    with pytest.raises(ConfigurationError, match="contains a pickle"):
        store.load("churn")

    assert MODEL.classes_.tolist() == store.load("churn", sha256=digest).model.classes_.tolist()


@pytest.mark.slow
def test_sql_store_rejects_replaced_packages(make, key_pair):
    """Both unsigned ones and other signed ones."""
    store = make(public_keys=[key_pair.public])
    for signed in (package(), package("price", "1"), package(version="2")):
        store.save(signed, sign_key=key_pair.private)
    unsigned = make()
    unsigned.save(package("fraud"))
    with pytest.raises(ConfigurationError, match="not signed"):
        store.load("fraud")
    columns = {"sidecars", "package"}
    for other in ("name = 'price'", "version = '2'"):
        with store._db.transaction() as connection:
            for column in columns:
                connection.execute(
                    sa.text(
                        f"UPDATE modelgate_models SET {column} ="
                        f" (SELECT m.{column} FROM modelgate_models m WHERE m.{other})"
                        " WHERE name = 'churn' AND version = '1'"
                    )
                )
        for method in (store.load, store.describe):
            with pytest.raises(
                ConfigurationError, match=r"churn@1: the database row contains the package .* instead"
            ):
                method("churn@1")


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_gate_serves_from_a_database(store, interface):
    """An invalid row loads no model; a reload resolves the latest version again."""
    store.save(package(threshold=0.999))
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=store)
    client = Client(getattr(gate, interface))
    faulty = client.post("/simple/churn", json={"x0": 1})
    cold = gate.deployments.cache.cache_info().misses
    first = client.post("/simple/churn", json=ROW).json()
    store.save(package(version="2", threshold=0.001))
    gate.deployments.reload("churn")
    second = client.post("/simple/churn", json=ROW).json()

    assert (400, ["x1"], 0) == (faulty.status, faulty.json()["missing_columns"], cold)
    assert ("no", "yes") == (first["prediction"], second["prediction"])


def test_deployment_pins_a_stored_package(store):
    digest = store.save(package()).sha256
    for pin, status in ((digest, 200), ("0" * 64, 503)):
        gate = Gate([Deployment("churn", "store:churn", sha256=pin)], keys="open", store=store)

        assert status == Client(gate.wsgi).post("/simple/churn", json=ROW).status


def test_sql_store_survives_an_outage(postgres, monkeypatch, caplog):
    """Loaded models are served on; others get 503 with Retry-After until the database is back."""
    monkeypatch.setattr("modelgate.models.cache._FAILURE_TTL", 1e-6)
    store = SqlModelStore(postgres.clear_tables())
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
    after = client.post("/simple/cold", json=ROW)
    store.close()

    assert [200, 200, 503, 200] == [answer.status for answer in (before, warm, cold, after)]
    assert "1" == cold.header("retry-after")
    assert b"127.0.0.1" not in cold.body
    assert postgres.password not in caplog.text


def test_sql_store_times_out(postgres, monkeypatch):
    with contextlib.closing(SqlModelStore(postgres.clear_tables())) as store:
        store.save(package())
        with postgres.suspend():
            monkeypatch.setattr("modelgate.backends.postgresql._SILENCE", 0.5)
            with pytest.raises(StoreError):
                FairThreadPool(1).share().run_with_timeout(partial(store.fingerprint, "churn"), 60)

        assert "churn@1" == store.fingerprint("churn")[0]


def run_at_once(acts):
    """Return the results or errors of *acts*, started together."""
    barrier = threading.Barrier(len(acts))

    def run(act):
        barrier.wait()
        try:
            return act()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))


@pytest.mark.slow
def test_concurrent_saves(make):
    """Of two saves of the same version, one fails."""
    stores = [make() for _ in range(9)]
    packages = [package(version=str(max(number, 1))) for number in range(9)]
    saves = [partial(store.save, saved) for store, saved in zip(stores, packages, strict=True)]
    errors = [result for result in run_at_once(saves) if isinstance(result, Exception)]

    assert [str(number) for number in range(1, 9)] == sorted(model.version for model in stores[0].list())
    assert [ConfigurationError] == [type(error) for error in errors]
    assert "(got '1')" in str(errors[0])


@pytest.mark.slow
def test_concurrent_aliases(make):
    stores = [make() for _ in range(8)]
    for version in ("1", "2"):
        stores[0].save(package(version=version))
    results = run_at_once(
        [
            partial(store.alias, "churn", "production", str(index % 2 + 1))
            for index, store in enumerate(stores)
        ]
    )

    assert [None] * 8 == results
    assert stores[0].load("churn@production").manifest.version in ("1", "2")


def test_missing_write_permission_is_reported(url, make):
    """Not as an outage; reading still works."""
    store = make()
    store.save(package())
    store.close()
    option = "-c default_transaction_read_only=on"
    readonly = f"{url}?options={quote(option)}" if url.startswith("postgresql") else url
    with contextlib.closing(SqlModelStore(readonly)) as reader:
        if reader._db.backend == "sqlite":
            sa.event.listen(reader._db.engine, "connect", lambda it, _: it.execute("PRAGMA query_only=1"))
        for write in (
            lambda: reader.save(package(version="2")),
            lambda: reader.alias("churn", "production", "1"),
        ):
            with pytest.raises(ConfigurationError, match="has no permission to write"):
                write()

        assert "1" == reader.load("churn").manifest.version


def test_read_only_postgresql_user_is_reported(postgres):
    with contextlib.closing(SqlModelStore(postgres.clear_tables())) as store:
        store.save(package())
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reads'")
        connection.execute("GRANT SELECT ON modelgate_models, modelgate_aliases TO reader")
    url = sa.make_url(postgres.url).set(username="reader", password="reads")
    with contextlib.closing(SqlModelStore(url.render_as_string(hide_password=False))) as reader:
        with pytest.raises(ConfigurationError, match="has no permission to write"):
            reader.save(package(version="2"))

        assert "1" == reader.load("churn").manifest.version


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_sql_store_works_after_a_fork(store):
    store.save(package())
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=lambda: results.put(store.describe("churn").manifest.name))
    child.start()
    child.join(SOON)

    assert (0, "churn") == (child.exitcode, results.get())
    assert "churn" == store.describe("churn").manifest.name


@pytest.mark.parametrize(
    "url", ["mysql://me:s3cret@host/models", "models.db", "sqlite://", "sqlite:///:memory:"]
)
def test_sql_store_rejects_invalid_urls(url):
    """Without showing them."""
    with pytest.raises(ConfigurationError, match=r"models must be .*sqlite:///path") as info:
        SqlModelStore(url)

    assert "s3cret" not in str(info.value)


def test_missing_database_is_503_without_its_url(tmp_path):
    store = SqlModelStore("postgresql://me:s3cret@127.0.0.1:1/models")
    with pytest.raises(StoreError) as info:
        store.load("churn")

    assert "s3cret" not in str(info.value) + repr(store)


def test_models_module_raises_attribute_error():
    with pytest.raises(AttributeError, match="SqlModels"):
        _ = modelgate.models.SqlModels
