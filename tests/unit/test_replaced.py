"""What is kept under a name is replaced while a gate serves it."""

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
from modelgate.scoring import model as scoring_model
from modelgate.testing import Client
from releases import release

ROW = {"x0": 1.0}
NEVER = 10_000
SOON = 30


def put(folder, version, **how):
    release(version, **how).save(folder / f"churn@{version}.mgpkg")


def move(folder, version, alias="beta"):
    """The alias leads to *version* from now on."""
    link = folder / f"churn@{alias}.mgpkg"
    link.unlink(missing_ok=True)
    link.symlink_to(f"churn@{version}.mgpkg")


def said(gate, row=ROW):
    """What is predicted and the version told, or else the status."""
    answer = Client(gate.wsgi).post("/predict/churn", json=row)
    return (
        (answer.json()["result"], answer.json()["model_version"]) if answer.status == 200 else answer.status
    )


def look(gate):
    gate._look()
    return said(gate)


@pytest.fixture
def folder(tmp_path):
    put(tmp_path, 3)
    return tmp_path


@pytest.fixture
def at_once(monkeypatch):
    """What is told of a model that is not in memory holds for no time."""
    monkeypatch.setattr(scoring_model, "_TOLD_FOR", 0)


def test_a_row_is_checked_by_the_schema_of_the_model_that_is_kept_now(tmp_path):
    """Also where the last one asked for more, and the cache has dropped it."""
    put(tmp_path, 3, columns=2)
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=tmp_path)
    before = said(gate, {"x0": 1, "x1": 1})
    put(tmp_path, 4)
    gate.cache.cache_clear()

    assert ((3, "3"), (4, "4")) == (before, said(gate))


def test_what_was_told_of_a_cold_model_does_not_hold_for_good(tmp_path, at_once):
    """A newer one asks for less."""
    store = SqlModelStore(f"sqlite:///{tmp_path}/models.db")
    store.save(release(3, columns=2))
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=store)
    told = Client(gate.wsgi).get("/deployments/churn").json()["version"]
    store.save(release(4))

    assert ("3", (4, "4")) == (told, said(gate))
    store.close()


def test_rows_are_read_as_the_model_that_came_asks(tmp_path):
    """Where another was told of within the last second."""
    put(tmp_path, 3)
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=tmp_path)
    Client(gate.wsgi).get("/deployments/churn")
    put(tmp_path, 4, columns=2)

    assert (400, (4, "4")) == (said(gate), said(gate, {"x0": 1, "x1": 1}))


def test_a_pinned_file_is_told_of_only_by_what_was_checked(folder):
    """Not by another file in its place, which is refused; when the right one is back it is served."""
    path = folder / "churn@3.mgpkg"
    digest = release(3).save(path)
    good = path.read_bytes()
    release(666, columns=2).save(path)
    gate = Gate([Deployment("churn", path, sha256=digest)], keys="open")
    client = Client(gate.wsgi)
    foreign = [client.get("/deployments/churn").status, said(gate)]
    path.write_bytes(good)
    gate.cache.cache_clear()

    assert ([503, 503], (3, "3")) == (foreign, said(gate))


def test_what_the_new_schema_hides_and_forbids(folder):
    """Counts as its columns do."""
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=folder)
    before = said(gate, {**ROW, "more": 1})
    schema = Schema.of(x0=float).reading(extra="forbid", reveal=False)
    replace(release(4), schema=schema).save(folder / "churn@4.mgpkg")
    gate.cache.cache_clear()

    assert ((3, "3"), 400) == (before, said(gate, {**ROW, "more": 1}))
    assert 403 == Client(gate.wsgi).get("/deployments/churn").status


def test_going_back_is_to_what_served(folder):
    """Whatever its name means by now, however small the cache, and for as long as nothing else is said."""
    release(1, name="other").save(folder / "other.mgpkg")
    deployments = [Deployment("churn", "store:churn"), Deployment("other", "store:other")]
    gate = Gate(deployments, keys="open", store=folder, cache_size=1)
    said(gate)
    put(folder, 4)
    gate.reload("churn")
    gate.score("other", ROW)
    gate.rollback("churn")
    seen = [said(gate)]
    gate.cache.cache_clear()
    seen.append(said(gate))
    gate.rollback("churn")

    assert ([(3, "3")] * 2, (4, "4")) == (seen, said(gate))


def test_what_served_is_gone(folder):
    """It was not in memory when it was replaced: that is said, and nothing changes."""
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=folder)
    said(gate)
    gate.cache.cache_clear()
    put(folder, 4)
    gate.swap("churn", release(9))
    with pytest.raises(ConfigurationError, match="is version 4 by now, and version 3, which served before"):
        gate.rollback("churn")
    with pytest.raises(NotFound, match="nothing before"):
        gate.rollback("churn")

    assert ((9, "9"), 0) == (said(gate), gate.cache.cache_info().currsize)


def test_a_store_that_fails_once(folder):
    """The next look swaps in what it could not load."""

    class Store(FolderStore):
        failures = 0

        def load(self, name, **how):
            if self.failures:
                self.failures -= 1
                raise StoreError("down")
            return super().load(name, **how)

    store = Store(folder)
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=store, watch=NEVER)
    said(gate)
    put(folder, 4)
    store.failures = 1

    assert [(3, "3"), (4, "4")] == [look(gate), look(gate)]


@pytest.mark.parametrize(
    ("model", "options"),
    [("store:churn@beta", {}), ("store:churn@3", {"rollout": Rollout({"store:churn@beta": 100})})],
    ids=["own", "canary"],
)
def test_who_went_back_stays_there(folder, model, options):
    """A look does not undo it, nor does a cache that is emptied; the next change is swapped in."""
    put(folder, 4)
    move(folder, 3)
    gate = Gate([Deployment("churn", model, **options)], keys="open", store=folder, watch=NEVER)
    seen = [said(gate)]
    move(folder, 4)
    seen.append(look(gate))
    gate.rollback("churn")
    seen += [said(gate), look(gate)]
    gate.cache.cache_clear()
    seen.append(look(gate))
    put(folder, 5)
    move(folder, 5)
    seen.append(look(gate))

    assert [(3, "3"), (4, "4"), (3, "3"), (3, "3"), (3, "3"), (5, "5")] == seen


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "cold"])
def test_who_came_before_a_swap_is_answered_by_what_served_then(folder, keep, loaded):
    """Also after two of them, and where its file is gone; then nothing of it is left in the cache."""
    came, go, answers = threading.Event(), threading.Event(), []

    def slow(request, call_next):
        if not came.is_set():
            came.set()
            assert go.wait(SOON)
        return (yield from call_next(request))

    for version in (4, 5):
        put(folder, version)
    gate = Gate([Deployment("churn", "store:churn@3", layers=[slow])], keys="open", store=folder)
    if loaded:
        gate.warm()
    asking = threading.Thread(target=lambda: answers.append(said(gate)))
    asking.start()
    assert came.wait(SOON)
    for version in (4, 5):
        gate.swap("churn", f"store:churn@{version}", keep=keep)
    if loaded:
        (folder / "churn@3.mgpkg").unlink()
    go.set()
    asking.join(SOON)

    assert ([(3, "3")], (5, "5")) == (answers, said(gate))
    assert 1 == gate.cache.cache_info().currsize


def test_a_deployment_that_is_removed_leaves_nothing(folder):
    """A load that was under way for it neither."""
    going, go = threading.Event(), threading.Event()

    class Store(FolderStore):
        def load(self, name, **how):
            going.set()
            assert go.wait(SOON)
            return super().load(name, **how)

    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=Store(folder))
    answers = []
    asking = threading.Thread(target=lambda: answers.append(said(gate)))
    asking.start()
    assert going.wait(SOON)
    gate._serving.remove("churn")
    go.set()
    asking.join(SOON)

    assert ([(3, "3")], 0) == (answers, gate.cache.cache_info().currsize)


def test_many_change_it_at_once(folder):
    """Every request is answered, and only what serves is in the cache at the end."""
    for version in (4, 5):
        put(folder, version)
    gate = Gate([Deployment("churn", "store:churn@3")], keys="open", store=folder)
    gate.warm()
    over, statuses, errors = threading.Event(), set(), []

    def changing(seed):
        choose = random.Random(seed)
        for _ in range(15):
            act = choose.choice(
                [
                    lambda: gate.swap("churn", f"store:churn@{choose.choice((3, 4, 5))}"),
                    lambda: gate.swap("churn", rollout=Rollout({"store:churn@4": 50})),
                    lambda: gate.rollback("churn"),
                    lambda: gate.reload("churn"),
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
    serving = {supply.name for supply in gate._entries["churn"].supplies}

    assert ([], {200}) == (errors, statuses)
    assert set(gate.cache._kept) <= serving


def test_a_bare_file_that_was_dropped_tells_its_columns_while_it_is_the_same(tmp_path, at_once):
    """A faulty row does not load it again; another file in its place is asked what it takes."""
    path = tmp_path / "churn.skops"
    skops.io.dump(release(3, columns=2).model, path)
    gate = Gate([Deployment("churn", path)], keys="open")
    before = said(gate, {"x0": 1, "x1": 1})
    gate.cache.cache_clear()
    seen = [said(gate), gate.cache.cache_info().misses]
    targets = Client(gate.wsgi).get("/deployments/churn").json()["output"]
    skops.io.dump(release(4).model, path)
    gate.cache.cache_clear()

    assert ((3, "1"), [400, 0], (4, "1")) == (before, seen, said(gate))
    assert [{"name": "prediction"}] == targets
