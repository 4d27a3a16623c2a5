"""Models that change in their file or store are swapped in."""

import gc
import itertools
import logging
import os
import random
import signal
import threading
import time

import pytest

from modelgate import (
    ConfigurationError,
    Deployment,
    DeploymentUnavailable,
    FolderStore,
    Gate,
    MemoryStore,
    NotFound,
    Rollout,
    Shadow,
    drive,
)
from modelgate.layers.polling import PollingLayer
from modelgate.models import SqlModelStore, package
from modelgate.models.versions import is_older
from modelgate.testing import Client, FakeClock, StubHandler, request
from support.packages import make_package
from support.waiting import SOON

ROW = {"x0": 1.0}
# So long that the thread polls only once during a test.
NEVER = 10_000


def save_package(folder, version, name="churn", **how):
    """Write a package to a temporary file, then move it into the folder."""
    make_package(version, **how).save(folder / "new.mgpkg")
    (folder / "new.mgpkg").replace(folder / f"{name}.mgpkg")


@pytest.fixture
def folder(tmp_path):
    save_package(tmp_path, 3, "churn@3")
    return tmp_path


def make_gate(folder, model="store:churn", **options):
    return Gate(
        [Deployment("churn", model, **options)], keys="open", store=FolderStore(folder), poll_interval=NEVER
    )


def predict(gate):
    answer = Client(gate.wsgi).post("/predict/churn", json=ROW).json()
    return answer["result"], answer["model_version"]


def poll_and_predict(gate):
    """Poll once, then return the prediction."""
    gate._poll_once()
    return predict(gate)


@pytest.mark.parametrize("value", [0, -1, True, "30", float("inf"), float("nan"), 1e300])
def test_poll_interval_must_be_seconds(value):
    with pytest.raises(ConfigurationError, match=r"poll_interval must be a number of seconds above 0"):
        Gate(keys="open", poll_interval=value)


def test_new_version_is_swapped_in_by_the_next_poll(folder):
    """Models that were not loaded yet are left alone."""
    gate = make_gate(folder)
    gate._poll_once()
    cold = gate.deployments.cache.cache_info().currsize
    before = predict(gate)
    save_package(folder, 4, "churn@4")

    assert (0, (3, "3"), (3, "3"), (4, "4")) == (cold, before, predict(gate), poll_and_predict(gate))
    gate.deployments.rollback("churn")
    assert (3, "3") == predict(gate)


def test_unchanged_models_are_not_loaded_again(folder):
    gate = make_gate(folder)
    predict(gate)
    entry = gate._catalog["churn"]
    for _ in range(3):
        poll_and_predict(gate)

    assert entry is gate._catalog["churn"]


@pytest.mark.parametrize("as_folder", [False, True])
def test_replaced_file_or_folder_is_swapped_in(tmp_path, as_folder):
    make_package(3).save(tmp_path / "churn.mgpkg", folder=as_folder)
    gate = make_gate(tmp_path, tmp_path / "churn.mgpkg")
    predict(gate)
    (tmp_path / "churn.mgpkg").rename(tmp_path / "old")
    make_package(4).save(tmp_path / "churn.mgpkg", folder=as_folder)

    assert (4, "4") == poll_and_predict(gate)


def test_moved_alias_is_swapped_in(folder):
    """Also to an older version."""
    save_package(folder, 4, "churn@4")
    link = folder / "churn@production.mgpkg"
    link.symlink_to("churn@3.mgpkg")
    gate = make_gate(folder, "store:churn@production")
    seen = [predict(gate)]
    for version in (4, 3):
        link.unlink()
        link.symlink_to(f"churn@{version}.mgpkg")
        seen.append(poll_and_predict(gate))

    assert [(3, "3"), (4, "4"), (3, "3")] == seen


def test_latest_is_never_downgraded_by_a_poll(folder, caplog):
    """It is logged once; a swap may go back."""
    save_package(folder, 4, "churn@4")
    gate = make_gate(folder, "store:churn@latest")
    predict(gate)
    (folder / "churn@4.mgpkg").unlink()
    with caplog.at_level(logging.WARNING):
        seen = [poll_and_predict(gate) for _ in range(3)]
    gate.deployments.swap("churn", "store:churn@latest")

    assert [(4, "4")] * 3 == seen
    assert 1 == caplog.text.count("is now version 3, older than the served version 4")
    assert (3, "3") == poll_and_predict(gate)


def test_old_package_under_a_new_name_is_rejected(folder, caplog):
    save_package(folder, 4, "churn@4")
    gate = make_gate(folder)
    predict(gate)
    save_package(folder, 3, "churn")

    assert (4, "4") == poll_and_predict(gate)
    assert "is now version 3" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("broken", [b"", b"rubbish" * 100])
def test_broken_file_keeps_the_current_model(folder, broken, caplog):
    """It is read and logged once for each state of the file."""
    gate = make_gate(folder)
    predict(gate)
    path = folder / "churn@4.mgpkg"
    path.write_bytes(broken)
    seen = [poll_and_predict(gate) for _ in range(3)]
    once = len(caplog.records)
    path.write_bytes(broken + b"more")
    seen.append(poll_and_predict(gate))
    twice = len(caplog.records)
    save_package(folder, 4, "churn@4")

    assert [(3, "3")] * 4 == seen
    assert (1, 2) == (once, twice)
    assert "deployment churn: update failed, keeping the current model: model" in caplog.text
    assert (4, "4") == poll_and_predict(gate)


@pytest.mark.slow
def test_failed_update_is_tried_again(folder, caplog, monkeypatch):
    """After 1, 2, 4, … seconds, at most ten minutes; each distinct failure is logged once."""
    clock = FakeClock(0)
    monkeypatch.setattr("modelgate.deployments.store_watcher.time.monotonic", clock)
    gate = make_gate(folder)
    predict(gate)
    save_package(folder, 4, "churn@4")
    read, tries = package.read_estimator, []
    errors = iter([OSError(24, "Too many open files")] * 2 + [MemoryError("no memory")] * 10)

    def failing(*args):
        tries.append(clock())
        for error in errors:
            raise error
        return read(*args)

    monkeypatch.setattr(package, "read_estimator", failing)
    before = poll_and_predict(gate)
    while len(tries) < 13:
        clock.advance(0.5)
        gate._poll_once()

    assert [(3, "3"), (4, "4")] == [before, predict(gate)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] == pauses
    assert ["Too many open files", "no memory"] == [
        next(text for text in ("Too many open files", "no memory") if text in record.getMessage())
        for record in caplog.records
    ]


def test_model_that_exits_does_not_end_the_poll(folder, monkeypatch):
    gate = make_gate(folder)
    predict(gate)
    save_package(folder, 4, "churn@4")

    def leave(*args):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(package, "read_estimator", leave)
        gate._poll_once()

    assert (4, "4") == poll_and_predict(gate)


def test_removed_deployments_leave_no_failures(folder, monkeypatch):
    gate = make_gate(folder)
    predict(gate)
    watch = gate._poll_callbacks[0].__self__
    (folder / "churn@4.mgpkg").write_bytes(b"rubbish")
    gate._poll_once()
    failed = [list(watch._failed)]
    monkeypatch.setattr(gate.deployments.loader, "changed", None)
    gate._poll_once()
    failed.append(list(watch._unreachable))
    gate.deployments._controller.remove("churn")
    gate._poll_once()

    assert [["churn"], ["churn"]] == failed
    assert {} == watch._failed == watch._unreachable


def test_missing_file_keeps_the_current_model(folder, caplog):
    gate = make_gate(folder, "store:churn@3")
    predict(gate)
    (folder / "churn@3.mgpkg").unlink()

    assert [(3, "3")] * 2 == [poll_and_predict(gate), poll_and_predict(gate)]
    assert 1 == len(caplog.records)
    save_package(folder, 3, "churn@3", prediction=5)
    assert (5, "3") == poll_and_predict(gate)


def test_sql_store_is_watched(tmp_path, caplog):
    """While it is unreachable, the current model is kept."""
    store = SqlModelStore(f"sqlite:///{tmp_path}/models.db")
    store.save(make_package(3))
    store.alias("churn", "beta", "3")
    deployments = [Deployment("churn", "store:churn"), Deployment("beta", "store:churn@beta")]
    gate = Gate(deployments, keys="open", store=store, poll_interval=NEVER)
    gate.deployments.warm()
    store.save(make_package(4))
    seen = [poll_and_predict(gate), gate.score("beta", ROW).values.tolist()]
    store.alias("churn", "beta", "4")
    poll_and_predict(gate)
    seen.append(gate.score("beta", ROW).values.tolist())
    (tmp_path / "models.db").rename(tmp_path / "elsewhere")
    (tmp_path / "models.db").mkdir()
    store.close()
    seen += [poll_and_predict(gate), poll_and_predict(gate)]
    store.close()

    assert [(4, "4"), [3], [4], (4, "4"), (4, "4")] == seen
    logged = [record.getMessage() for record in caplog.records]
    assert [
        f"deployment {name}: update check failed, keeping the current model" for name in ("churn", "beta")
    ] == logged


@pytest.mark.slow
def test_models_of_rollouts_and_shadows_are_watched(folder):
    """Those that have not changed are not loaded again."""
    for name in ("a", "b"):
        make_package(3, name=name).save(folder / f"{name}.mgpkg")
    options = {"rollout": Rollout({"store:a": 100}), "shadow": Shadow("store:b", sample=0)}
    gate = make_gate(folder, **options)
    gate.deployments.warm()
    drive(gate._catalog["churn"].shadow_revision.model.predictor())
    own = gate._catalog["churn"].revisions[0].handle
    make_package(4, name="a").save(folder / "a.mgpkg")

    assert (4, "4") == poll_and_predict(gate)
    shadowed = gate._catalog["churn"].shadow_revision.handle
    make_package(4, name="b").save(folder / "b.mgpkg")
    poll_and_predict(gate)
    assert shadowed is not gate._catalog["churn"].shadow_revision.handle
    assert own is gate._catalog["churn"].revisions[0].handle


def test_stores_without_fingerprints_are_not_watched():
    """Nor are models that were passed as objects."""
    store = MemoryStore({"churn": make_package(3).model})
    deployments = [Deployment("churn", "store:churn"), Deployment("held", make_package(3))]
    gate = Gate(deployments, keys="open", store=store, poll_interval=NEVER)
    gate.deployments.warm()
    store._models["churn"] = make_package(4).model

    assert 3 == poll_and_predict(gate)[0]


def test_poll_does_not_undo_a_concurrent_swap(folder):
    gate = make_gate(folder)
    predict(gate)
    save_package(folder, 4, "churn@4")
    load = gate.deployments.loader.load

    def swapped_meanwhile(name):
        predictor = load(name)
        gate.deployments.loader.load = load
        gate.deployments.swap("churn", make_package(9))
        return predictor

    gate.deployments.loader.load = swapped_meanwhile

    assert (9, "9") == poll_and_predict(gate)


@pytest.mark.parametrize(
    ("version", "other", "older"),
    [
        ("1", "2", True),
        ("2", "1", False),
        ("9", "10", True),
        ("v1.9", "v1.10", True),
        ("1", "1.0", False),
        ("1.0rc1", "1.0", True),
        ("1.0", "1.0rc1", False),
        ("1.0.post1", "1.0", False),
        ("1.0", "1.0.post1", True),
        ("1.10.dev1", "1.10rc1", True),
        ("1.10a1", "1.10-beta.2", True),
        ("1.0-1", "1.0.1", False),
        ("2024-05-01", "2024-12-01", True),
        ("1", "1", False),
        ("1bc9", "3f2a", False),
        ("1a2b3c4", "5d6e7f8", False),
        ("beta", "2", False),
        ("1", "rc", False),
    ],
)
def test_is_older_follows_pep_440(version, other, older):
    """Other versions cannot be compared."""
    assert older is is_older(version, other)


class Poller:
    """Counts polls."""

    def __init__(self, error=None):
        self.polls, self.seen, self.error = 0, threading.Semaphore(0), error

    def poll(self):
        self.polls += 1
        self.seen.release()
        if self.error is not None:
            raise self.error


def poll_threads():
    return [thread for thread in threading.enumerate() if thread.name == "modelgate poll"]


def send_request(poll):
    return drive(poll(request(), StubHandler())).status


def test_polling_uses_one_thread_started_by_the_first_request():
    """Errors do not end it."""
    before = set(poll_threads())
    poller = Poller(ValueError("no"))
    poll = PollingLayer(poller.poll, 0.01)
    idle = set(poll_threads()) - before
    asking = [threading.Thread(target=send_request, args=(poll,)) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(SOON)
    for _ in range(3):
        assert poller.seen.acquire(timeout=SOON)

    assert set() == idle
    assert 1 == len(set(poll_threads()) - before)


def test_polling_leaves_the_shared_random_generator_alone():
    poller = Poller()
    poll = PollingLayer(poller.poll, 0.01)
    before = random.getstate()
    send_request(poll)
    for _ in range(3):
        assert poller.seen.acquire(timeout=SOON)

    assert before == random.getstate()


@pytest.mark.parametrize("what", ["poll", "poller"])
def test_polling_ends_when_its_object_is_collected(what):
    poller = Poller()
    poll = PollingLayer(poller.poll, NEVER if what == "poll" else 0.01)
    before = set(poll_threads())
    send_request(poll)
    (thread,) = set(poll_threads()) - before
    assert poller.seen.acquire(timeout=SOON)
    if what == "poll":
        del poll
    else:
        del poller
    gc.collect()
    thread.join(SOON)

    assert not thread.is_alive()


def test_close_ends_the_polling(folder):
    """The gate still serves; without polling, close does nothing."""
    before = set(poll_threads())
    gate = make_gate(folder)
    gate.close()
    predict(gate)
    gate.close()
    Gate(keys="open").close()

    assert before == set(poll_threads())
    assert (3, "3") == predict(gate)


def test_polling_ends_when_the_gate_is_collected(folder):
    before = set(poll_threads())
    gate = make_gate(folder)
    predict(gate)
    (thread,) = set(poll_threads()) - before
    del gate
    for _ in range(SOON * 10):
        gc.collect()
        thread.join(0.1)
        if not thread.is_alive():
            break

    assert not thread.is_alive()


def test_polling_continues_while_only_the_app_is_referenced(folder):
    before = set(poll_threads())
    gate = make_gate(folder)
    app = gate.wsgi
    predict(gate)
    (thread,) = set(poll_threads()) - before
    del gate
    gc.collect()
    thread.join(0.1)

    assert thread.is_alive()
    assert 200 == Client(app).post("/predict/churn", json=ROW).status


def test_poll_interval_is_an_upper_bound():
    """Polls come early at random."""
    waits = []

    class Stop:
        def wait(self, seconds):
            waits.append(seconds)
            return len(waits) == 5

    poller = Poller()
    poll = PollingLayer(poller.poll, 0.2)
    poll._stop = Stop()
    send_request(poll)
    poll._thread.join(SOON)

    assert 5 == len(waits)
    assert 0.15 <= min(waits) < max(waits) <= 0.2


def test_first_request_waits_for_the_first_poll():
    """Later ones do not."""
    go = threading.Event()

    class Hanging:
        def poll(self):
            go.wait(SOON)

    hanging = Hanging()
    poll = PollingLayer(hanging.poll, NEVER, first_poll_timeout=0.1)
    start = time.monotonic()
    statuses = [send_request(poll)]
    waited = time.monotonic() - start
    statuses.append(send_request(poll))
    go.set()

    assert ([200, 200], True) == (statuses, waited >= 0.1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_polls_with_its_own_thread(folder):
    gate = Gate(
        [Deployment("churn", "store:churn")], keys="open", store=FolderStore(folder), poll_interval=0.05
    )
    predict(gate)
    child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            none = poll_threads()
            save_package(folder, 4, "churn@4")
            while predict(gate) != (4, "4"):
                time.sleep(0.01)
            os._exit(len(none))
        finally:
            os._exit(1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_close_ends_the_polling_in_forked_children(folder):
    gate = make_gate(folder)
    gate.close()
    child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            predict(gate)
            os._exit(gate._poll._started_at is not None)
        finally:
            os._exit(1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_fingerprint_of_a_missing_model_is_not_found(folder):
    with pytest.raises(NotFound):
        FolderStore(folder).fingerprint("price")


def test_latest_is_never_downgraded_after_an_eviction(folder, caplog):
    """A writer of the pointer cannot bring back an older package, although its signature is valid."""
    save_package(folder, 4, "churn@4")
    gate = make_gate(folder, "store:churn@latest")
    predict(gate)
    (folder / "churn@4.mgpkg").unlink()
    gate.deployments.cache.drop("churn")
    with pytest.raises(DeploymentUnavailable):
        gate.score("churn", ROW)
    gate.deployments.reload("churn")

    assert "is now version 3, older than the served version 4" in caplog.text
    assert (3, "3") == predict(gate)
