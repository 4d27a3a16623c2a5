"""Deployments are swapped, rolled back, paused, resumed and drained."""

import asyncio
import gc
import logging
import threading
import weakref

import numpy as np
import pytest

from modelgate import (
    ConfigurationError,
    Deployment,
    DeploymentInactive,
    DeploymentUnavailable,
    FolderStore,
    Gate,
    MemoryStore,
    NotFound,
    Rollout,
    Schema,
    drive,
)
from modelgate.testing import Client
from support.packages import fit_broken_model, make_package
from support.tampering import rewrite_package
from support.waiting import SOON

ROW = {"x0": 1.0}


@pytest.fixture
def store(tmp_path):
    for version in (6, 7, 8):
        make_package(version).save(tmp_path / f"churn@{version}.mgpkg")
    return tmp_path


@pytest.fixture
def gate(store):
    return Gate([Deployment("churn", "store:churn@6")], keys="open", store=store)


def predict(gate):
    """Return the predicted value and the version of the response."""
    answer = Client(gate.wsgi).post("/predict/churn", json=ROW).json()
    return answer["result"], answer["model_version"]


def test_swap_and_rollback_change_every_version(gate):
    """Of responses, metadata and paths."""
    client, seen = Client(gate.wsgi), []
    for act in (
        lambda: None,
        lambda: gate.deployments.swap("churn", "store:churn@7"),
        lambda: gate.deployments.rollback("churn"),
        lambda: gate.deployments.rollback("churn"),
    ):
        act()
        fields = client.get("/deployments/churn").json()
        paths = [client.post(f"/models/churn/{version}/infer", json=ROW).status for version in (6, 7)]
        seen.append((*predict(gate), fields["version"], *paths))

    assert [(6, "6", "6", 200, 404), (7, "7", "7", 404, 200)] * 2 == seen


def test_deployments_with_cached_models_are_listed_by_their_last_use():
    """Under their own names after a swap, too."""
    store = MemoryStore({name: lambda table: table["x"] for name in ("a", "b", "c", "d")})
    schema = Schema.of(x=float)
    deployments = [Deployment(name, f"store:{name}", schema=schema) for name in ("a", "b", "c")]
    gate, seen = Gate(deployments, keys="open", store=store, cache_size=2), []
    for name in ("a", "b", "c", "b"):
        gate.score(name, [{"x": 1}])
        seen.append(gate.deployments.cached())
    gate.deployments.swap("c", "store:d")

    assert [["a"], ["a", "b"], ["b", "c"], ["c", "b"]] == seen
    assert ["b", "c"] == gate.deployments.cached()


@pytest.mark.parametrize("stored", [False, True])
def test_replaced_model_has_no_share_of_the_threads(stored):
    """Neither after a swap nor after a rollback."""
    together = threading.Barrier(2)

    def first(table):
        together.wait(SOON)
        return table["x"]

    def second(table):
        together.wait(SOON)
        return table["x"] + 1

    store = MemoryStore({"f@1": first, "f@2": second})
    models = ("store:f@1", "store:f@2") if stored else (first, second)
    gate = Gate(
        [Deployment("f", models[0], schema=Schema.of(x=float))],
        keys="open",
        store=store,
        threads=2,
        deadline=SOON,
    )

    async def ask():
        client, fields = Client(gate.asgi), {"content-type": "application/json"}
        asked = [client._call_asgi("POST", "/predict/f", "", fields, [b'{"x": 1}']) for _ in range(2)]
        return [answer.json()["result"] for answer in await asyncio.gather(*asked)]

    seen = [asyncio.run(ask())]
    for change in (lambda: gate.deployments.swap("f", models[1]), lambda: gate.deployments.rollback("f")):
        change()
        seen.append(asyncio.run(ask()))

    assert [[1.0] * 2, [2.0] * 2, [1.0] * 2] == seen


def test_concurrent_rollbacks_take_effect_once(gate):
    """The previous models can still be restored."""
    gate.deployments.swap("churn", "store:churn@7")
    commit, seen = gate.deployments._controller._swap_in, []

    def commit_second(*args, **options):
        gate.deployments._controller._swap_in = commit
        gate.deployments.rollback("churn")
        commit(*args, **options)

    gate.deployments._controller._swap_in = commit_second
    gate.deployments.rollback("churn")
    seen.append(predict(gate))
    gate.deployments.rollback("churn")
    seen.append(predict(gate))

    assert [(6, "6"), (7, "7")] == seen


def test_version_of_a_package_is_known_before_it_is_loaded(gate):
    client = Client(gate.wsgi)
    cold_version = client.get("/deployments/churn").json()["version"]

    assert ("6", 404) == (cold_version, client.post("/models/churn/1/infer", json=ROW).status)
    assert 0 == gate.deployments.cache.cache_info().misses


def test_access_log_has_the_version_of_the_model(gate, caplog):
    caplog.set_level(logging.INFO, "modelgate.access")
    predict(gate)
    gate.deployments.swap("churn", "store:churn@7")
    predict(gate)

    assert ["6", "7"] == [record.version for record in caplog.records]
    assert "version=7 " in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "version", "expected"),
    [
        (lambda store: make_package(9), None, "9"),
        (lambda store: make_package(9).model, None, "1"),
        (lambda store: make_package(9).model, "nine", "nine"),
        (lambda store: store / "churn@7.mgpkg", None, "7"),
    ],
)
def test_swap_accepts_estimators_packages_and_files(gate, store, model, version, expected):
    gate.deployments.swap("churn", model(store), version=version)

    assert expected == predict(gate)[1]


def test_version_comes_from_the_name_in_the_store():
    store = MemoryStore({"churn@6": make_package(6).model, "churn@7": make_package(7).model})
    gate = Gate([Deployment("churn", "store:churn@6")], keys="open", store=store)
    before = predict(gate)
    gate.deployments.swap("churn", "store:churn@7")

    assert ((6, "6"), (7, "7")) == (before, predict(gate))


def test_version_of_a_bare_file_comes_from_its_name(tmp_path):
    """It is 1 if the name has none."""
    import skops.io

    for name in ("churn@v2", "price"):
        skops.io.dump(make_package(2).model, tmp_path / f"{name}.skops")
    manifests = [FolderStore(tmp_path).load(name).manifest for name in ("churn", "price")]

    assert [("churn", "v2"), ("price", "1")] == [(it.name, it.version) for it in manifests]


def half(path):
    path.write_bytes(path.read_bytes()[:500])
    return "store:churn@7"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda path: "store:churn@99", NotFound, "could not be found"),
        (half, ConfigurationError, r"churn@7\.mgpkg"),
        (lambda path: fit_broken_model(), ConfigurationError, r"must be able to score a row .*no answer"),
        (lambda path: object(), ConfigurationError, "must be a fitted estimator"),
        (lambda path: "store:churn@7", ConfigurationError, "example"),
    ],
)
def test_swap_keeps_the_current_model_on_failure(gate, store, model, error, message):
    """Also if the new package was packed with another example."""
    predict(gate)
    make_package(7).save(store / "churn@7.mgpkg")
    rewrite_package(store / "churn@7.mgpkg", example_json=lambda it: it["expected"].update(predict=[0.0] * 3))
    with pytest.raises(error, match=message):
        gate.deployments.swap("churn", model(store / "churn@7.mgpkg"))
    with pytest.raises(NotFound, match="no previous models"):
        gate.deployments.rollback("churn")

    assert (6, "6") == predict(gate)
    assert 1 == gate.deployments.cache.cache_info().currsize


def test_swap_does_not_call_functions():
    """They may have side effects."""
    calls = []

    def price(table):
        calls.append(len(table))
        return table["x0"] * 3

    gate = Gate([Deployment("churn", lambda table: table["x0"], schema=Schema.of(x0=float))], keys="open")
    gate.deployments.swap("churn", price)

    assert ([], 3.0, [1]) == (list(calls), predict(gate)[0], calls)


def test_swap_keeps_all_other_options(store):
    deployment = Deployment(
        "churn", "store:churn@6", target="left", model_id="m", schema=Schema.of(x0=float), max_rows=2
    )
    gate = Gate([deployment], keys="open", store=store)
    gate.deployments.pause("churn")
    gate.deployments.swap("churn", "store:churn@7")
    assert {"churn": "paused"} == gate.deployments.states()
    gate.deployments.resume("churn")
    answer = Client(gate.wsgi).post("/predict/churn", json=ROW).json()

    assert ("m", "7", "left") == (
        answer["model_id"],
        answer["model_version"],
        gate.score("churn", ROW).outputs[0].name,
    )
    assert 400 == Client(gate.wsgi).post("/predict/churn", json=[ROW] * 3).status


def test_swap_keeps_one_previous_model(gate):
    """Rollback loads nothing; without keep=True there is nothing to go back to."""
    predict(gate)
    gate.deployments.swap("churn", "store:churn@7")
    two = gate.deployments.cache.cache_info()
    gate.deployments.swap("churn", "store:churn@8")
    still = gate.deployments.cache.cache_info()
    gate.deployments.rollback("churn")
    rolled = gate.deployments.cache.cache_info()
    gate.deployments.swap("churn", "store:churn@6", keep=False)

    assert (1, 1, 0, 1) == (
        two.currsize,
        still.currsize,
        rolled.currsize,
        gate.deployments.cache.cache_info().currsize,
    )
    assert two.misses == rolled.misses
    with pytest.raises(NotFound, match="no previous models"):
        gate.deployments.rollback("churn")
    assert (6, "6") == predict(gate)


def test_rollback_loads_an_evicted_model(store):
    gate = Gate([Deployment("churn", "store:churn@6")], keys="open", store=store, cache_size=1)
    predict(gate)
    gate.deployments.swap("churn", "store:churn@7")
    small = gate.deployments.cache.cache_info().currsize
    gate.deployments.rollback("churn")
    misses = gate.deployments.cache.cache_info().misses

    assert (1, (6, "6"), misses) == (small, predict(gate), gate.deployments.cache.cache_info().misses)


def test_swap_needs_a_digest_for_a_pinned_deployment(store):
    deployments = [Deployment("churn", "store:churn@6"), Deployment("other", "store:churn@8")]
    gate = Gate(deployments, keys="open", store=store, cache_size=1)
    gate.deployments.cache.pin("churn")
    for act in (
        lambda: gate.deployments.swap("churn", "store:churn@7"),
        lambda: gate.deployments.swap("churn", rollout=Rollout({"store:churn@8": 0})),
        lambda: gate.deployments.rollback("churn"),
    ):
        act()
        gate.score("other", ROW)
        misses = gate.deployments.cache.cache_info().misses
        gate.score("churn", ROW)

        assert misses == gate.deployments.cache.cache_info().misses


def test_pin_may_be_added_and_removed_by_a_swap(store):
    deployments = [Deployment("churn", "store:churn@6"), Deployment("other", "store:churn@8")]
    gate = Gate(deployments, keys="open", store=store, cache_size=1)

    def loaded_again():
        gate.score("churn", ROW)
        gate.score("other", ROW)
        misses = gate.deployments.cache.cache_info().misses
        gate.score("churn", ROW)
        return gate.deployments.cache.cache_info().misses - misses

    gate.deployments.swap("churn", "store:churn@7")
    drive(gate.deployments.cache.prewarm("churn"))
    gate.deployments.cache.pin("churn")
    pinned = loaded_again()
    gate.deployments.swap("churn", "store:churn@6")
    gate.deployments.cache.unpin("churn")

    assert (0, 1) == (pinned, loaded_again())


@pytest.mark.slow
def test_replaced_model_is_freed_after_its_last_request(store):
    going, go = threading.Event(), threading.Event()

    def slow(table):
        going.set()
        assert go.wait(SOON)
        return np.full(len(table), 5.0)

    gone = weakref.ref(slow)
    gate = Gate([Deployment("churn", slow, schema=Schema.of(x0=float), version="5")], keys="open")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(predict(gate)))
    asking.start()
    assert going.wait(SOON)
    del slow
    gate.deployments.swap("churn", lambda table: table["x0"], version="6", keep=False)
    new = predict(gate)
    held = gone() is not None
    go.set()
    asking.join(SOON)
    gc.collect()

    assert ([(5.0, "5")], (1.0, "6")) == (answers, new)
    assert (True, None) == (held, gone())


def test_unknown_deployment_is_not_found(gate):
    """By any of the methods."""
    for act in (
        lambda: gate.deployments.swap("price", make_package(1)),
        lambda: gate.deployments.reload("price"),
        lambda: gate.deployments.rollback("price"),
        lambda: gate.deployments.pause("price"),
        lambda: gate.deployments.drain("price"),
    ):
        with pytest.raises(NotFound):
            act()


def test_states_reject_requests(gate, store):
    """Metadata is rejected, too."""
    client, seen = Client(gate.wsgi), []
    for act in (gate.deployments.pause, gate.deployments.drain, gate.deployments.resume):
        act("churn")
        answer = client.post("/simple/churn", json=ROW)
        fields = client.get("/deployments/churn").status
        seen.append(
            (*gate.deployments.states().values(), answer.status, fields, answer.header("retry-after"))
        )

    assert [("paused", 403, 403, None), ("draining", 503, 503, "5"), ("active", 200, 200, None)] == seen
    gate.deployments.pause("churn")
    with pytest.raises(DeploymentInactive):
        gate.score("churn", ROW)
    gate.deployments.drain("churn")
    with pytest.raises(DeploymentUnavailable, match="takes no new requests"):
        gate.score("churn", ROW)


def test_states_report_a_failed_load(gate, store):
    path = store / "churn@6.mgpkg"
    good = path.read_bytes()
    half(path)
    states, answer = [gate.deployments.states()], Client(gate.wsgi).post("/simple/churn", json=ROW)
    states.append(gate.deployments.states())
    path.write_bytes(good)
    gate.deployments.cache.cache_clear()
    predict(gate)
    states.append(gate.deployments.states())

    assert (503, "1") == (answer.status, answer.header("retry-after"))
    assert ["active", "failed", "active"] == [state["churn"] for state in states]


@pytest.mark.parametrize("interface", ["wsgi", "score"])
def test_drain_waits_for_requests_in_flight(interface):
    """New requests are rejected; a timeout returns False."""
    going, go, answers = threading.Event(), threading.Event(), []

    def slow(table):
        going.set()
        assert go.wait(SOON)
        return table["x0"]

    gate = Gate([Deployment("churn", slow, schema=Schema.of(x0=float))], keys="open")

    def ask():
        if interface == "score":
            answers.append(gate.score("churn", ROW).values[0])
        else:
            answers.append(predict(gate)[0])

    asking = threading.Thread(target=ask)
    asking.start()
    assert going.wait(SOON)
    early = gate.deployments.drain("churn", timeout=0.01)
    refused = Client(gate.wsgi).post("/simple/churn", json=ROW).status
    drained = []
    draining = threading.Thread(
        target=lambda: drained.append((gate.deployments.drain("churn"), list(answers)))
    )
    draining.start()
    go.set()
    for thread in (asking, draining):
        thread.join(SOON)

    assert (False, 503, [1.0]) == (early, refused, answers)
    assert True is drained[0][0]
    assert True is gate.deployments.drain("churn", timeout=0)


def test_drain_does_not_wait_for_failed_requests(gate):
    client = Client(gate.wsgi)
    statuses = [client.post("/simple/churn", json=row).status for row in ({}, {"x0": "?"})]

    assert [400, 400] == statuses
    assert gate.deployments.drain("churn", timeout=0)


def test_path_with_a_version_never_gets_another_one(tmp_path):
    """Also if the file was replaced and the model is loaded again."""
    make_package(6).save(tmp_path / "churn.mgpkg")
    gate = Gate([Deployment("churn", tmp_path / "churn.mgpkg")], keys="open")
    predict(gate)
    make_package(7).save(tmp_path / "churn.mgpkg")
    gate.deployments.cache.cache_clear()
    client = Client(gate.wsgi)
    statuses = [client.post(f"/models/churn/{version}/infer", json=ROW).status for version in (6, 7, 6)]

    assert [404, 200, 404] == statuses


def test_reload_of_a_missing_model_keeps_the_current_one(gate, store):
    """The reload of a model passed as an object does nothing."""
    predict(gate)
    (store / "churn@6.mgpkg").unlink()
    with pytest.raises(NotFound):
        gate.deployments.reload("churn")
    gate.deployments.swap("churn", make_package(9))
    entry = gate._catalog["churn"]
    gate.deployments.reload("churn")

    assert entry is gate._catalog["churn"]


def test_drain_may_be_awaited_twice(gate):
    asking, drained = object(), []
    in_flight = gate._catalog["churn"].in_flight
    in_flight.begin(asking)
    waiting = [
        threading.Thread(target=lambda: drained.append(gate.deployments.drain("churn", SOON)))
        for _ in range(2)
    ]
    for thread in waiting:
        thread.start()
    in_flight.end(asking)
    for thread in waiting:
        thread.join(SOON)

    assert [True, True] == drained
