"""A deployment gets another model, and back; and is paused, resumed, drained."""

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
from releases import broken, release
from tampering import rewrite
from waiting import SOON

ROW = {"x0": 1.0}


@pytest.fixture
def store(tmp_path):
    for version in (6, 7, 8):
        release(version).save(tmp_path / f"churn@{version}.mgpkg")
    return tmp_path


@pytest.fixture
def gate(store):
    return Gate([Deployment("churn", "store:churn@6")], keys="open", store=store)


def said(gate):
    """What is predicted, and the version told."""
    answer = Client(gate.wsgi).post("/predict/churn", json=ROW).json()
    return answer["result"], answer["model_version"]


def test_swap_and_rollback(gate):
    """Every face tells the version that answers: the answer, the metadata, the path; and back, and forth."""
    client, seen = Client(gate.wsgi), []
    for act in (
        lambda: None,
        lambda: gate.swap("churn", "store:churn@7"),
        lambda: gate.rollback("churn"),
        lambda: gate.rollback("churn"),
    ):
        act()
        fields = client.get("/deployments/churn").json()
        paths = [client.post(f"/models/churn/{version}/infer", json=ROW).status for version in (6, 7)]
        seen.append((*said(gate), fields["version"], *paths))

    assert [(6, "6", "6", 200, 404), (7, "7", "7", 404, 200)] * 2 == seen


@pytest.mark.parametrize("stored", [False, True])
def test_what_was_replaced_takes_no_threads(stored):
    """A gate with one deployment has all of its threads for the model that serves, and after a rollback too."""
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
        asked = [client._ask_asgi("POST", "/predict/f", "", fields, [b'{"x": 1}']) for _ in range(2)]
        return [answer.json()["result"] for answer in await asyncio.gather(*asked)]

    seen = [asyncio.run(ask())]
    for change in (lambda: gate.swap("f", models[1]), lambda: gate.rollback("f")):
        change()
        seen.append(asyncio.run(ask()))

    assert [[1.0] * 2, [2.0] * 2, [1.0] * 2] == seen


def test_of_two_rollbacks_at_once_one_is_made(gate):
    """What served before them is still there to go back to."""
    gate.swap("churn", "store:churn@7")
    commit, seen = gate._serving._commit, []

    def commit_second(*args, **options):
        gate._serving._commit = commit
        gate.rollback("churn")
        commit(*args, **options)

    gate._serving._commit = commit_second
    gate.rollback("churn")
    seen.append(said(gate))
    gate.rollback("churn")
    seen.append(said(gate))

    assert [(6, "6"), (7, "7")] == seen


def test_a_cold_deployment_tells_the_version_of_its_package(gate):
    """Nothing is loaded for it; a path that names another is refused."""
    client = Client(gate.wsgi)
    told = client.get("/deployments/churn").json()["version"]

    assert ("6", 404) == (told, client.post("/models/churn/1/infer", json=ROW).status)
    assert 0 == gate.cache.cache_info().misses


def test_the_access_log_tells_the_version(gate, caplog):
    """Of the model that answered."""
    caplog.set_level(logging.INFO, "modelgate.access")
    said(gate)
    gate.swap("churn", "store:churn@7")
    said(gate)

    assert ["6", "7"] == [record.version for record in caplog.records]
    assert "version=7 " in caplog.text


@pytest.mark.parametrize(
    ("model", "version", "told"),
    [
        (lambda store: release(9), None, "9"),
        (lambda store: release(9).model, None, "1"),
        (lambda store: release(9).model, "nine", "nine"),
        (lambda store: store / "churn@7.mgpkg", None, "7"),
    ],
)
def test_whatever_a_deployment_takes_can_be_swapped_in(gate, store, model, version, told):
    """An estimator, a package, a file; the version is its own where it has one."""
    gate.swap("churn", model(store), version=version)

    assert told == said(gate)[1]


def test_a_store_of_bare_models_has_versions_too():
    """They stand in the name."""
    store = MemoryStore({"churn@6": release(6).model, "churn@7": release(7).model})
    gate = Gate([Deployment("churn", "store:churn@6")], keys="open", store=store)
    before = said(gate)
    gate.swap("churn", "store:churn@7")

    assert ((6, "6"), (7, "7")) == (before, said(gate))


def test_a_bare_file_in_a_folder_has_the_version_of_its_name(tmp_path):
    """One that has none is the first."""
    import skops.io

    for name in ("churn@v2", "price"):
        skops.io.dump(release(2).model, tmp_path / f"{name}.skops")
    told = [FolderStore(tmp_path).load(name).manifest for name in ("churn", "price")]

    assert [("churn", "v2"), ("price", "1")] == [(it.name, it.version) for it in told]


def half(path):
    path.write_bytes(path.read_bytes()[:500])
    return "store:churn@7"


@pytest.mark.parametrize(
    ("model", "error", "told"),
    [
        (lambda path: "store:churn@99", NotFound, "could not be found"),
        (half, ConfigurationError, r"churn@7\.mgpkg"),
        (lambda path: broken(), ConfigurationError, "does not predict: no answer"),
        (lambda path: object(), ConfigurationError, "accepts a fitted estimator"),
        (lambda path: "store:churn@7", ConfigurationError, "example"),
    ],
)
def test_what_cannot_be_swapped_in(gate, store, model, error, told):
    """It says why, and the old model goes on; so it does where another example was packed."""
    said(gate)
    release(7).save(store / "churn@7.mgpkg")
    rewrite(store / "churn@7.mgpkg", example_json=lambda it: it["expected"].update(predict=[0.0] * 3))
    with pytest.raises(error, match=told):
        gate.swap("churn", model(store / "churn@7.mgpkg"))
    with pytest.raises(NotFound, match="nothing before"):
        gate.rollback("churn")

    assert (6, "6") == said(gate)
    assert 1 == gate.cache.cache_info().currsize


def test_a_function_is_swapped_and_not_called():
    """It may do more than to predict."""
    calls = []

    def price(table):
        calls.append(len(table))
        return table["x0"] * 3

    gate = Gate([Deployment("churn", lambda table: table["x0"], schema=Schema.of(x0=float))], keys="open")
    gate.swap("churn", price)

    assert ([], 3.0, [1]) == (list(calls), said(gate)[0], calls)


def test_all_else_that_was_said_stays(store):
    """Layers, names, schema, and the state."""
    deployment = Deployment(
        "churn", "store:churn@6", target="left", model_id="m", schema=Schema.of(x0=float), max_rows=2
    )
    gate = Gate([deployment], keys="open", store=store)
    gate.pause("churn")
    gate.swap("churn", "store:churn@7")
    assert {"churn": "paused"} == gate.states()
    gate.resume("churn")
    answer = Client(gate.wsgi).post("/predict/churn", json=ROW).json()

    assert ("m", "7", "left") == (
        answer["model_id"],
        answer["model_version"],
        gate.score("churn", ROW).outputs[0].name,
    )
    assert 400 == Client(gate.wsgi).post("/predict/churn", json=[ROW] * 3).status


def test_the_one_before_is_kept_and_the_one_before_that_is_not(gate):
    """Going back loads nothing; without keep=True there is nothing to go back to. The cache has what serves."""
    said(gate)
    gate.swap("churn", "store:churn@7")
    two = gate.cache.cache_info()
    gate.swap("churn", "store:churn@8")
    still = gate.cache.cache_info()
    gate.rollback("churn")
    rolled = gate.cache.cache_info()
    gate.swap("churn", "store:churn@6", keep=False)

    assert (1, 1, 0, 1) == (two.currsize, still.currsize, rolled.currsize, gate.cache.cache_info().currsize)
    assert two.misses == rolled.misses
    with pytest.raises(NotFound, match="nothing before"):
        gate.rollback("churn")
    assert (6, "6") == said(gate)


def test_going_back_to_what_the_cache_has_dropped(store):
    """It is loaded first."""
    gate = Gate([Deployment("churn", "store:churn@6")], keys="open", store=store, cache_size=1)
    said(gate)
    gate.swap("churn", "store:churn@7")
    small = gate.cache.cache_info().currsize
    gate.rollback("churn")
    misses = gate.cache.cache_info().misses

    assert (1, (6, "6"), misses) == (small, said(gate), gate.cache.cache_info().misses)


def test_a_pin_goes_on_to_the_next(store):
    """Who pins a deployment pins what it serves."""
    deployments = [Deployment("churn", "store:churn@6"), Deployment("other", "store:churn@8")]
    gate = Gate(deployments, keys="open", store=store, cache_size=1)
    gate.cache.pin("churn")
    for act in (
        lambda: gate.swap("churn", "store:churn@7"),
        lambda: gate.swap("churn", rollout=Rollout({"store:churn@8": 0})),
        lambda: gate.rollback("churn"),
    ):
        act()
        gate.score("other", ROW)
        misses = gate.cache.cache_info().misses
        gate.score("churn", ROW)

        assert misses == gate.cache.cache_info().misses


def test_a_pin_is_of_a_deployment_whatever_it_serves(store):
    """Also where it was given after a swap, and taken back after another."""
    deployments = [Deployment("churn", "store:churn@6"), Deployment("other", "store:churn@8")]
    gate = Gate(deployments, keys="open", store=store, cache_size=1)

    def loaded_again():
        gate.score("churn", ROW)
        gate.score("other", ROW)
        misses = gate.cache.cache_info().misses
        gate.score("churn", ROW)
        return gate.cache.cache_info().misses - misses

    gate.swap("churn", "store:churn@7")
    drive(gate.cache.prewarm("churn"))
    gate.cache.pin("churn")
    pinned = loaded_again()
    gate.swap("churn", "store:churn@6")
    gate.cache.unpin("churn")

    assert (0, 1) == (pinned, loaded_again())


def test_the_old_model_ends_with_its_last_request(store):
    """Who asked before is answered by it; then nothing holds it."""
    going, go = threading.Event(), threading.Event()

    def slow(table):
        going.set()
        assert go.wait(SOON)
        return np.full(len(table), 5.0)

    gone = weakref.ref(slow)
    gate = Gate([Deployment("churn", slow, schema=Schema.of(x0=float), version="5")], keys="open")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(said(gate)))
    asking.start()
    assert going.wait(SOON)
    del slow
    gate.swap("churn", lambda table: table["x0"], version="6", keep=False)
    new = said(gate)
    held = gone() is not None
    go.set()
    asking.join(SOON)
    gc.collect()

    assert ([(5.0, "5")], (1.0, "6")) == (answers, new)
    assert (True, None) == (held, gone())


def test_swaps_of_a_deployment_that_is_not_there(gate):
    """All of them say so."""
    for act in (
        lambda: gate.swap("price", release(1)),
        lambda: gate.reload("price"),
        lambda: gate.rollback("price"),
        lambda: gate.pause("price"),
        lambda: gate.drain("price"),
    ):
        with pytest.raises(NotFound):
            act()


def test_states(gate, store):
    """Each refuses in its own way, and none of them is for good; metadata is refused with the rest."""
    client, seen = Client(gate.wsgi), []
    for act in (gate.pause, gate.drain, gate.resume):
        act("churn")
        answer = client.post("/simple/churn", json=ROW)
        fields = client.get("/deployments/churn").status
        seen.append((*gate.states().values(), answer.status, fields, answer.header("retry-after")))

    assert [("paused", 403, 403, None), ("draining", 503, 503, "5"), ("active", 200, 200, None)] == seen
    gate.pause("churn")
    with pytest.raises(DeploymentInactive):
        gate.score("churn", ROW)
    gate.drain("churn")
    with pytest.raises(DeploymentUnavailable, match="takes no new requests"):
        gate.score("churn", ROW)


def test_a_model_that_cannot_be_loaded_is_failed(gate, store):
    """503 until it can be."""
    path = store / "churn@6.mgpkg"
    good = path.read_bytes()
    half(path)
    states, answer = [gate.states()], Client(gate.wsgi).post("/simple/churn", json=ROW)
    states.append(gate.states())
    path.write_bytes(good)
    gate.cache.cache_clear()
    said(gate)
    states.append(gate.states())

    assert (503, "1") == (answer.status, answer.header("retry-after"))
    assert ["active", "failed", "active"] == [state["churn"] for state in states]


@pytest.mark.parametrize("interface", ["wsgi", "score"])
def test_draining_waits_for_the_last_answer(interface):
    """What was taken is answered; what comes now is refused; and who waits too long is told."""
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
            answers.append(said(gate)[0])

    asking = threading.Thread(target=ask)
    asking.start()
    assert going.wait(SOON)
    early = gate.drain("churn", timeout=0.01)
    refused = Client(gate.wsgi).post("/simple/churn", json=ROW).status
    drained = []
    draining = threading.Thread(target=lambda: drained.append((gate.drain("churn"), list(answers))))
    draining.start()
    go.set()
    for thread in (asking, draining):
        thread.join(SOON)

    assert (False, 503, [1.0]) == (early, refused, answers)
    assert True is drained[0][0]
    assert True is gate.drain("churn", timeout=0)


def test_a_request_that_fails_is_over(gate):
    """A drain does not wait for it."""
    client = Client(gate.wsgi)
    statuses = [client.post("/simple/churn", json=row).status for row in ({}, {"x0": "?"})]

    assert [400, 400] == statuses
    assert gate.drain("churn", timeout=0)


def test_a_path_never_gets_another_version_than_it_names(tmp_path):
    """Also where the file was replaced, and the model had to be loaded again, since its version was known."""
    release(6).save(tmp_path / "churn.mgpkg")
    gate = Gate([Deployment("churn", tmp_path / "churn.mgpkg")], keys="open")
    said(gate)
    release(7).save(tmp_path / "churn.mgpkg")
    gate.cache.cache_clear()
    client = Client(gate.wsgi)
    statuses = [client.post(f"/models/churn/{version}/infer", json=ROW).status for version in (6, 7, 6)]

    assert [404, 200, 404] == statuses


def test_a_reload_of_what_is_gone_or_in_memory(gate, store):
    """The one says so, and what serves goes on; the other has nothing to do."""
    said(gate)
    (store / "churn@6.mgpkg").unlink()
    with pytest.raises(NotFound):
        gate.reload("churn")
    gate.swap("churn", release(9))
    entry = gate._entries["churn"]
    gate.reload("churn")

    assert entry is gate._entries["churn"]


def test_two_may_wait_for_the_same_drain(gate):
    """Both hear of its end."""
    asking, drained = object(), []
    in_flight = gate._entries["churn"].in_flight
    in_flight.begin(asking)
    waiting = [threading.Thread(target=lambda: drained.append(gate.drain("churn", SOON))) for _ in range(2)]
    for thread in waiting:
        thread.start()
    in_flight.end(asking)
    for thread in waiting:
        thread.join(SOON)

    assert [True, True] == drained
