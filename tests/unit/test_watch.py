"""What changes where models are kept is swapped in."""

import gc
import itertools
import logging
import os
import signal
import threading
import time

import pytest

from modelgate import (
    ConfigurationError,
    Deployment,
    FolderStore,
    Gate,
    MemoryStore,
    NotFound,
    Rollout,
    Shadow,
    drive,
)
from modelgate.gate.watch import Poll
from modelgate.models import SqlModelStore, package
from modelgate.models.versions import is_older
from modelgate.testing import Client, Clock, Inner, request
from releases import release
from waiting import SOON

ROW = {"x0": 1.0}
# So long that no test sees a look that it did not ask for.
NEVER = 10_000
KEY = "a-secret-that-is-kept-elsewhere"


def put(folder, version, name="churn", key=KEY, **how):
    """A package in a folder, swapped in as a careful person does."""
    release(version, **how).save(folder / "new.mgpkg", key=key)
    (folder / "new.mgpkg").replace(folder / f"{name}.mgpkg")


@pytest.fixture
def folder(tmp_path):
    put(tmp_path, 3, "churn@3")
    return tmp_path


def gate_of(folder, model="store:churn", *, key=KEY, **options):
    return Gate(
        [Deployment("churn", model, **options)], keys="open", store=FolderStore(folder, key=key), watch=NEVER
    )


def said(gate):
    answer = Client(gate.wsgi).post("/predict/churn", json=ROW).json()
    return answer["result"], answer["model_version"]


def look(gate):
    """Look now, and what is said then."""
    gate._look()
    return said(gate)


@pytest.mark.parametrize("value", [0, -1, True, "30", float("inf"), float("nan"), 1e300])
def test_what_cannot_be(value):
    """Seconds are."""
    with pytest.raises(ConfigurationError, match=r"watch=.*accepts seconds above 0"):
        Gate(keys="open", watch=value)


def test_a_newer_version_in_a_folder(folder):
    """Once it is there; until a look it is not noticed, and what was not loaded yet is left alone."""
    gate = gate_of(folder)
    gate._look()
    cold = gate.cache.cache_info().currsize
    before = said(gate)
    put(folder, 4, "churn@4")

    assert (0, (3, "3"), (3, "3"), (4, "4")) == (cold, before, said(gate), look(gate))
    gate.rollback("churn")
    assert (3, "3") == said(gate)


def test_nothing_is_loaded_where_nothing_changed(folder):
    """However often one looks."""
    gate = gate_of(folder)
    said(gate)
    entry = gate._entries["churn"]
    for _ in range(3):
        look(gate)

    assert entry is gate._entries["churn"]


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_file_that_is_replaced(tmp_path, as_folder):
    """One file or a folder, by its path."""
    release(3).save(tmp_path / "churn.mgpkg", folder=as_folder)
    gate = gate_of(tmp_path, tmp_path / "churn.mgpkg")
    said(gate)
    (tmp_path / "churn.mgpkg").rename(tmp_path / "old")
    release(4).save(tmp_path / "churn.mgpkg", folder=as_folder)

    assert (4, "4") == look(gate)


def test_an_alias_that_is_moved(folder):
    """Also to an older version: somebody has said so."""
    put(folder, 4, "churn@4")
    link = folder / "churn@production.mgpkg"
    link.symlink_to("churn@3.mgpkg")
    gate = gate_of(folder, "store:churn@production")
    seen = [said(gate)]
    for version in (4, 3):
        link.unlink()
        link.symlink_to(f"churn@{version}.mgpkg")
        seen.append(look(gate))

    assert [(3, "3"), (4, "4"), (3, "3")] == seen


def test_latest_does_not_go_back_by_itself(folder, caplog):
    """It is told once, and to swap it in is to say so."""
    put(folder, 4, "churn@4")
    gate = gate_of(folder, "store:churn@latest")
    said(gate)
    (folder / "churn@4.mgpkg").unlink()
    with caplog.at_level(logging.WARNING):
        seen = [look(gate) for _ in range(3)]
    gate.swap("churn", "store:churn@latest")

    assert [(4, "4")] * 3 == seen
    assert 1 == caplog.text.count("is version 3 by now, which is older than 4")
    assert (3, "3") == look(gate)


def test_an_old_package_under_a_new_name(folder, caplog):
    """Is not served, and it is told."""
    put(folder, 4, "churn@4")
    gate = gate_of(folder)
    said(gate)
    put(folder, 3, "churn")

    assert (4, "4") == look(gate)
    assert "is version 3 by now" in caplog.text


@pytest.mark.parametrize("broken", [b"", b"rubbish" * 100])
def test_a_broken_file(folder, broken, caplog):
    """The old one goes on; it is told once for each state of the file, and read once."""
    gate = gate_of(folder)
    said(gate)
    path = folder / "churn@4.mgpkg"
    path.write_bytes(broken)
    seen = [look(gate) for _ in range(3)]
    once = len(caplog.records)
    path.write_bytes(broken + b"more")
    seen.append(look(gate))
    twice = len(caplog.records)
    put(folder, 4, "churn@4")

    assert [(3, "3")] * 4 == seen
    assert (1, 2) == (once, twice)
    assert "deployment churn goes on as it is: model=" in caplog.text
    assert (4, "4") == look(gate)


def test_a_version_that_could_not_be_read_is_tried_again(folder, caplog, monkeypatch):
    """After 1, 2, 4, … seconds and at most ten minutes; it is logged once for each distinct failure."""
    clock = Clock(0)
    monkeypatch.setattr("modelgate.gate.watch.time.monotonic", clock)
    gate = gate_of(folder)
    said(gate)
    put(folder, 4, "churn@4")
    read, tries = package.read_estimator, []
    errors = iter([OSError(24, "Too many open files")] * 2 + [MemoryError("no memory")] * 10)

    def failing(*args):
        tries.append(clock())
        for error in errors:
            raise error
        return read(*args)

    monkeypatch.setattr(package, "read_estimator", failing)
    before = look(gate)
    while len(tries) < 13:
        clock.advance(0.5)
        gate._look()

    assert [(3, "3"), (4, "4")] == [before, said(gate)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] == pauses
    assert ["Too many open files", "no memory"] == [
        next(text for text in ("Too many open files", "no memory") if text in record.getMessage())
        for record in caplog.records
    ]


def test_a_model_that_exits_ends_no_look(folder, monkeypatch):
    """A `SystemExit` of a model that is loaded is a failure of that model, which is tried again."""
    gate = gate_of(folder)
    said(gate)
    put(folder, 4, "churn@4")

    def leave(*args):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(package, "read_estimator", leave)
        gate._look()

    assert (4, "4") == look(gate)


def test_nothing_is_kept_of_deployments_that_are_gone(folder, monkeypatch):
    """Neither that one could not be read, nor that its store could not be reached."""
    gate = gate_of(folder)
    said(gate)
    watch = gate._looks[0].__self__
    (folder / "churn@4.mgpkg").write_bytes(b"rubbish")
    gate._look()
    failed = [list(watch._failed)]
    monkeypatch.setattr(gate._loader, "changed", None)
    gate._look()
    failed.append(list(watch._unreachable))
    gate._serving.remove("churn")
    gate._look()

    assert [["churn"], ["churn"]] == failed
    assert {} == watch._failed == watch._unreachable


def test_a_file_that_is_gone(folder, caplog):
    """What is loaded goes on."""
    gate = gate_of(folder, "store:churn@3")
    said(gate)
    (folder / "churn@3.mgpkg").unlink()

    assert [(3, "3")] * 2 == [look(gate), look(gate)]
    assert 1 == len(caplog.records)
    put(folder, 3, "churn@3", said=5)
    assert (5, "3") == look(gate)


def test_a_database(tmp_path, caplog):
    """A version that is saved, an alias that is moved; while it cannot be asked, what is loaded goes on."""
    store = SqlModelStore(f"sqlite:///{tmp_path}/models.db")
    store.save(release(3))
    store.alias("churn", "beta", "3")
    deployments = [Deployment("churn", "store:churn"), Deployment("beta", "store:churn@beta")]
    gate = Gate(deployments, keys="open", store=store, watch=NEVER)
    gate.warm()
    store.save(release(4))
    seen = [look(gate), gate.score("beta", ROW).values.tolist()]
    store.alias("churn", "beta", "4")
    look(gate)
    seen.append(gate.score("beta", ROW).values.tolist())
    (tmp_path / "models.db").rename(tmp_path / "elsewhere")
    (tmp_path / "models.db").mkdir()
    store.close()
    seen += [look(gate), look(gate)]
    store.close()

    assert [(4, "4"), [3], [4], (4, "4"), (4, "4")] == seen
    told = [record.getMessage() for record in caplog.records]
    assert [f"deployment {name} goes on as it is" for name in ("churn", "beta")] == told


def test_all_models_of_a_deployment_are_watched(folder):
    """Those of a rollout and of a shadow; one that has not changed is not loaded again."""
    for name in ("a", "b"):
        release(3, name=name).save(folder / f"{name}.mgpkg", key=KEY)
    options = {"rollout": Rollout({"store:a": 100}), "shadow": Shadow("store:b", sample=0)}
    gate = gate_of(folder, **options)
    gate.warm()
    drive(gate._entries["churn"].shadowed.model.predictor())
    own = gate._entries["churn"].releases[0].supply
    release(4, name="a").save(folder / "a.mgpkg", key=KEY)

    assert (4, "4") == look(gate)
    shadowed = gate._entries["churn"].shadowed.supply
    release(4, name="b").save(folder / "b.mgpkg", key=KEY)
    look(gate)
    assert shadowed is not gate._entries["churn"].shadowed.supply
    assert own is gate._entries["churn"].releases[0].supply


def test_what_cannot_be_watched():
    """A store that tells no change, and models that are in memory for good."""
    store = MemoryStore({"churn": release(3).model})
    deployments = [Deployment("churn", "store:churn"), Deployment("held", release(3))]
    gate = Gate(deployments, keys="open", store=store, watch=NEVER)
    gate.warm()
    store._models["churn"] = release(4).model

    assert 3 == look(gate)[0]


def test_what_was_swapped_meanwhile_stays(folder):
    """A look that began before does not undo it."""
    gate = gate_of(folder)
    said(gate)
    put(folder, 4, "churn@4")
    load = gate._loader.load

    def swapped_meanwhile(name):
        predictor = load(name)
        gate._loader.load = load
        gate.swap("churn", release(9))
        return predictor

    gate._loader.load = swapped_meanwhile

    assert (9, "9") == look(gate)


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
        ("2024-05-01", "2024-12-01", True),
        ("1", "1", False),
        ("1bc9", "3f2a", False),
        ("1a2b3c4", "5d6e7f8", False),
        ("beta", "2", False),
        ("1", "rc", False),
    ],
)
def test_which_version_is_older(version, other, older):
    """By the rules of PEP 440; of others it cannot be told."""
    assert older is is_older(version, other)


class Looking:
    """Counts looks."""

    def __init__(self, error=None):
        self.looks, self.seen, self.error = 0, threading.Semaphore(0), error

    def look(self):
        self.looks += 1
        self.seen.release()
        if self.error is not None:
            raise self.error


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "modelgate watch"]


def ask(poll):
    return drive(poll(request(), Inner())).status


def test_looks_are_made_by_one_thread_from_the_first_request_on():
    """Whatever they raise."""
    before = set(threads())
    looking = Looking(ValueError("no"))
    poll = Poll(looking.look, 0.01)
    idle = set(threads()) - before
    asking = [threading.Thread(target=ask, args=(poll,)) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(SOON)
    for _ in range(3):
        assert looking.seen.acquire(timeout=SOON)

    assert set() == idle
    assert 1 == len(set(threads()) - before)


@pytest.mark.parametrize("what", ["poll", "looking"])
def test_looks_end_with_what_they_are_for(what):
    """No thread is left, neither at once nor after the next look."""
    looking = Looking()
    poll = Poll(looking.look, NEVER if what == "poll" else 0.01)
    before = set(threads())
    ask(poll)
    (thread,) = set(threads()) - before
    assert looking.seen.acquire(timeout=SOON)
    if what == "poll":
        del poll
    else:
        del looking
    gc.collect()
    thread.join(SOON)

    assert not thread.is_alive()


def test_a_gate_that_is_closed_looks_no_more(folder):
    """Its thread has ended, and it serves all the same; one that never looks is closed, too."""
    before = set(threads())
    gate = gate_of(folder)
    gate.close()
    said(gate)
    gate.close()
    Gate(keys="open").close()

    assert before == set(threads())
    assert (3, "3") == said(gate)


def test_looks_end_with_the_gate(folder):
    """As it is collected."""
    before = set(threads())
    gate = gate_of(folder)
    said(gate)
    (thread,) = set(threads()) - before
    del gate
    for _ in range(SOON * 10):
        gc.collect()
        thread.join(0.1)
        if not thread.is_alive():
            break

    assert not thread.is_alive()


def test_an_interval_is_the_most():
    """Looks come early by chance, and never late by more than the machine is."""
    waits = []

    class Stop:
        def wait(self, seconds):
            waits.append(seconds)
            return len(waits) == 5

    looking = Looking()
    poll = Poll(looking.look, 0.2)
    poll._stop = Stop()
    ask(poll)
    poll._thread.join(SOON)

    assert 5 == len(waits)
    assert 0.15 <= min(waits) < max(waits) <= 0.2


def test_who_comes_first_waits_for_the_first_look_a_while():
    """And nobody after that."""
    go = threading.Event()

    class Hanging:
        def look(self):
            go.wait(SOON)

    hanging = Hanging()
    poll = Poll(hanging.look, NEVER, patience=0.1)
    start = time.monotonic()
    statuses = [ask(poll)]
    waited = time.monotonic() - start
    statuses.append(ask(poll))
    go.set()

    assert ([200, 200], True) == (statuses, waited >= 0.1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_looks_for_itself(folder):
    """Its parent's thread is not there; one of its own starts with its first request."""
    gate = Gate(
        [Deployment("churn", "store:churn")], keys="open", store=FolderStore(folder, key=KEY), watch=0.05
    )
    said(gate)
    child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            none = threads()
            put(folder, 4, "churn@4")
            while said(gate) != (4, "4"):
                time.sleep(0.01)
            os._exit(len(none))
        finally:
            os._exit(1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_gate_that_is_closed_looks_no_more_in_a_child(folder):
    """No thread starts there either, and no look is made."""
    gate = gate_of(folder)
    gate.close()
    child = os.fork()
    if child == 0:
        signal.alarm(SOON)
        try:
            said(gate)
            os._exit(gate._poll._started is not None)
        finally:
            os._exit(1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_mark_of_what_is_not_there(folder):
    """Is none."""
    with pytest.raises(NotFound):
        FolderStore(folder).mark("price")
