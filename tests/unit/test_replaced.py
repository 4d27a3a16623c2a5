"""Stored models are replaced while a gate serves them."""

import random
import threading
from dataclasses import replace

import pytest
import skops.io

from modelgate import (
    ConfigurationError,
    Deployment,
    FolderStore,
    Gate,
    NotFound,
    Rollout,
    Schema,
    StoreError,
)
from modelgate.models import SqlModelStore
from modelgate.scoring.layers import load_model as scoring_model
from modelgate.testing import Client
from support.packages import make_package
from support.waiting import SOON

ROW = {"x0": 1.0}
NEVER = 10_000


def save_package(folder, version, **how):
    make_package(version, **how).save(folder / f"churn@{version}.mgpkg")


def move_alias(folder, version, alias="beta"):
    """Make the alias refer to *version*."""
    link = folder / f"churn@{alias}.mgpkg"
    link.unlink(missing_ok=True)
    link.symlink_to(f"churn@{version}.mgpkg")


def predict(gate, row=ROW):
    """Return the predicted value and the version, or the status of an error."""
    answer = Client(gate.wsgi).post("/predict/churn", json=row)
    return (
        (answer.json()["result"], answer.json()["model_version"]) if answer.status == 200 else answer.status
    )


def poll_and_predict(gate):
    gate._poll_once()
    return predict(gate)


@pytest.fixture
def folder(tmp_path):
    save_package(tmp_path, 3)
    return tmp_path


@pytest.fixture
def at_once(monkeypatch):
    """Do not cache the metadata of models that are not in memory."""
    monkeypatch.setattr(scoring_model, "_METADATA_TTL", 0)


def test_rows_are_validated_by_the_stored_model(tmp_path):
    """Also if the previous model required more, and was evicted."""
    save_package(tmp_path, 3, columns=2)
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=tmp_path)
    before = predict(gate, {"x0": 1, "x1": 1})
    save_package(tmp_path, 4)
    gate.deployments.cache.cache_clear()

    assert ((3, "3"), (4, "4")) == (before, predict(gate))


def test_metadata_of_a_cold_model_is_refreshed(tmp_path, at_once):
    store = SqlModelStore(f"sqlite:///{tmp_path}/models.db")
    store.save(make_package(3, columns=2))
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=store)
    cold_version = Client(gate.wsgi).get("/deployments/churn").json()["version"]
    store.save(make_package(4))

    assert ("3", (4, "4")) == (cold_version, predict(gate))
    store.close()


def test_rows_are_read_again_if_the_loaded_model_differs(tmp_path):
    save_package(tmp_path, 3)
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=tmp_path)
    Client(gate.wsgi).get("/deployments/churn")
    save_package(tmp_path, 4, columns=2)

    assert (400, (4, "4")) == (predict(gate), predict(gate, {"x0": 1, "x1": 1}))


def test_metadata_of_a_pinned_file_comes_from_the_verified_model(folder):
    path = folder / "churn@3.mgpkg"
    digest = make_package(3).save(path)
    good = path.read_bytes()
    make_package(666, columns=2).save(path)
    gate = Gate([Deployment("churn", path, sha256=digest)], keys="open")
    client = Client(gate.wsgi)
    foreign = [client.get("/deployments/churn").status, predict(gate)]
    path.write_bytes(good)
    gate.deployments.cache.cache_clear()

    assert ([503, 503], (3, "3")) == (foreign, predict(gate))


def test_schema_options_of_the_new_model_apply(folder):
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=folder)
    before = predict(gate, {**ROW, "more": 1})
    schema = Schema.of(x0=float).with_options(extra_columns="forbid", show_schema=False)
    replace(make_package(4), schema=schema).save(folder / "churn@4.mgpkg")
    gate.deployments.cache.cache_clear()

    assert ((3, "3"), 400) == (before, predict(gate, {**ROW, "more": 1}))
    assert 403 == Client(gate.wsgi).get("/deployments/churn").status


def test_rollback_restores_the_served_model(folder):
    """Even if its name refers to another model now, and however small the cache is."""
    make_package(1, name="other").save(folder / "other.mgpkg")
    deployments = [Deployment("churn", "store:churn"), Deployment("other", "store:other")]
    gate = Gate(deployments, keys="open", store=folder, cache_size=1)
    predict(gate)
    save_package(folder, 4)
    gate.deployments.reload("churn")
    gate.score("other", ROW)
    gate.deployments.rollback("churn")
    seen = [predict(gate)]
    gate.deployments.cache.cache_clear()
    seen.append(predict(gate))
    gate.deployments.rollback("churn")

    assert ([(3, "3")] * 2, (4, "4")) == (seen, predict(gate))


def test_rollback_rejects_a_model_that_has_changed(folder):
    """It was not in memory when it was replaced."""
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=folder)
    predict(gate)
    gate.deployments.cache.cache_clear()
    save_package(folder, 4)
    gate.deployments.swap("churn", make_package(9))
    with pytest.raises(
        ConfigurationError, match="version 3, is no longer in memory, and version 4 is stored in its place"
    ):
        gate.deployments.rollback("churn")
    with pytest.raises(NotFound, match="no previous models"):
        gate.deployments.rollback("churn")

    assert ((9, "9"), 0) == (predict(gate), gate.deployments.cache.cache_info().currsize)


def test_failed_update_is_tried_again(folder):
    class Store(FolderStore):
        failures = 0

        def load(self, name, **how):
            if self.failures:
                self.failures -= 1
                raise StoreError("down")
            return super().load(name, **how)

    store = Store(folder)
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=store, poll_interval=NEVER)
    predict(gate)
    save_package(folder, 4)
    store.failures = 1

    assert [(3, "3"), (4, "4")] == [poll_and_predict(gate), poll_and_predict(gate)]


@pytest.mark.parametrize(
    ("model", "options"),
    [("store:churn@beta", {}), ("store:churn@3", {"rollout": Rollout({"store:churn@beta": 100})})],
    ids=["own", "canary"],
)
def test_poll_does_not_undo_a_rollback(folder, model, options):
    """Only the next change is swapped in."""
    save_package(folder, 4)
    move_alias(folder, 3)
    gate = Gate([Deployment("churn", model, **options)], keys="open", store=folder, poll_interval=NEVER)
    seen = [predict(gate)]
    move_alias(folder, 4)
    seen.append(poll_and_predict(gate))
    gate.deployments.rollback("churn")
    seen += [predict(gate), poll_and_predict(gate)]
    gate.deployments.cache.cache_clear()
    seen.append(poll_and_predict(gate))
    save_package(folder, 5)
    move_alias(folder, 5)
    seen.append(poll_and_predict(gate))

    assert [(3, "3"), (4, "4"), (3, "3"), (3, "3"), (3, "3"), (5, "5")] == seen


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "cold"])
def test_request_in_flight_keeps_its_model(folder, keep, loaded):
    """Also during two swaps, and after its file was deleted."""
    came, go, answers = threading.Event(), threading.Event(), []

    def slow(request, call_next):
        if not came.is_set():
            came.set()
            assert go.wait(SOON)
        return (yield from call_next(request))

    for version in (4, 5):
        save_package(folder, version)
    gate = Gate([Deployment("churn", "store:churn@3", layers=[slow])], keys="open", store=folder)
    if loaded:
        gate.deployments.warm()
    asking = threading.Thread(target=lambda: answers.append(predict(gate)))
    asking.start()
    assert came.wait(SOON)
    for version in (4, 5):
        gate.deployments.swap("churn", f"store:churn@{version}", keep=keep)
    if loaded:
        (folder / "churn@3.mgpkg").unlink()
    go.set()
    asking.join(SOON)

    assert ([(3, "3")], (5, "5")) == (answers, predict(gate))
    assert 1 == gate.deployments.cache.cache_info().currsize


def test_removed_deployment_leaves_nothing_in_the_cache(folder):
    going, go = threading.Event(), threading.Event()

    class Store(FolderStore):
        def load(self, name, **how):
            going.set()
            assert go.wait(SOON)
            return super().load(name, **how)

    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=Store(folder))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(predict(gate)))
    asking.start()
    assert going.wait(SOON)
    gate.deployments._controller.remove("churn")
    go.set()
    asking.join(SOON)

    assert ([(3, "3")], 0) == (answers, gate.deployments.cache.cache_info().currsize)


def test_concurrent_changes_answer_every_request(folder):
    for version in (4, 5):
        save_package(folder, version)
    gate = Gate([Deployment("churn", "store:churn@3")], keys="open", store=folder)
    gate.deployments.warm()
    over, statuses, errors = threading.Event(), set(), []

    def changing(seed):
        choose = random.Random(seed)
        for _ in range(15):
            act = choose.choice(
                [
                    lambda: gate.deployments.swap("churn", f"store:churn@{choose.choice((3, 4, 5))}"),
                    lambda: gate.deployments.swap("churn", rollout=Rollout({"store:churn@4": 50})),
                    lambda: gate.deployments.rollback("churn"),
                    lambda: gate.deployments.reload("churn"),
                ]
            )
            try:
                act()
            except NotFound:
                continue
            except Exception as error:
                errors.append(error)

    def asking():
        client = Client(gate.wsgi)
        while not over.is_set():
            statuses.add(client.post("/simple/churn", json=ROW).status)

    asker = threading.Thread(target=asking)
    changers = [threading.Thread(target=changing, args=(seed,)) for seed in range(3)]
    for thread in (asker, *changers):
        thread.start()
    for thread in changers:
        thread.join(SOON)
    over.set()
    asker.join(SOON)
    serving = {supply.name for supply in gate._catalog["churn"].model_handles}

    assert ([], {200}) == (errors, statuses)
    assert set(gate.deployments.cache._models) <= serving


def test_schema_of_an_evicted_file_is_used_until_the_file_changes(tmp_path, at_once):
    path = tmp_path / "churn.skops"
    skops.io.dump(make_package(3, columns=2).model, path)
    gate = Gate([Deployment("churn", path)], keys="open")
    before = predict(gate, {"x0": 1, "x1": 1})
    gate.deployments.cache.cache_clear()
    seen = [predict(gate), gate.deployments.cache.cache_info().misses]
    targets = Client(gate.wsgi).get("/deployments/churn").json()["output"]
    skops.io.dump(make_package(4).model, path)
    gate.deployments.cache.cache_clear()

    assert ((3, "1"), [400, 0], (4, "1")) == (before, seen, predict(gate))
    assert [{"name": "prediction"}] == targets
