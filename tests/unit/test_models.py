"""Model files, model stores and the model cache."""

import asyncio
import hashlib
import math
import os
import pickle
import threading
import weakref

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import modelgate.models.store
from modelgate import Deployment, Gate
from modelgate.errors import ConfigurationError, DeploymentUnavailable, NotFound
from modelgate.flow import adrive, drive
from modelgate.models import FolderStore, MemoryStore, ModelCache, load_model
from modelgate.testing import FakeClock
from support.waiting import SOON, wait_until

ROWS = np.random.default_rng(0).normal(size=(40, 3))


@pytest.fixture(scope="module")
def model():
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, ROWS[:, 0] > 0)


@pytest.fixture
def skops_file(tmp_path, model):
    skops.io.dump(model, tmp_path / "churn.skops")
    return tmp_path / "churn.skops"


@pytest.fixture
def joblib_file(tmp_path, model):
    joblib.dump(model, tmp_path / "churn.joblib")
    return tmp_path / "churn.joblib"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Files


@pytest.mark.parametrize("convert", [str, lambda path: path])
@pytest.mark.parametrize("change", [None, str.lower, str.upper], ids=["unpinned", "pinned", "upper"])
def test_skops_file_is_loaded(skops_file, model, convert, change):
    sha256 = None if change is None else change(digest(skops_file))
    loaded = load_model(convert(skops_file), sha256=sha256)

    assert np.array_equal(model.predict_proba(ROWS), loaded.predict_proba(ROWS))


def test_joblib_file_is_loaded_with_a_pin(joblib_file, model):
    loaded = load_model(joblib_file, sha256=digest(joblib_file))

    assert np.array_equal(model.predict_proba(ROWS), loaded.predict_proba(ROWS))


def test_joblib_file_needs_a_pin(joblib_file):
    """The message contains the digest to pin."""
    with pytest.raises(ConfigurationError) as info:
        load_model(joblib_file)

    assert f'sha256="{digest(joblib_file)}"' in str(info.value)


@pytest.mark.parametrize("fixture", ["skops_file", "joblib_file"])
def test_load_model_rejects_another_digest(request, fixture):
    """The message contains the actual digest."""
    path = request.getfixturevalue(fixture)
    with pytest.raises(ConfigurationError, match=digest(path)):
        load_model(path, sha256="0" * 64)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "g" * 64, "sha256:" + "0" * 64, "0" * 65])
def test_load_model_rejects_invalid_digests(joblib_file, sha256):
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        load_model(joblib_file, sha256=sha256)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("churn.sav", r"must end in .*\.joblib, \.pkl, \.pickle"),
        ("churn", "skops"),
        ("none.skops", "no such file"),
        ("d.skops", "no such"),
    ],
)
def test_load_model_rejects_other_files(tmp_path, name, message):
    """Another suffix, a missing file, a folder."""
    (tmp_path / "churn.sav").write_bytes(b"")
    (tmp_path / "d.skops").mkdir()
    with pytest.raises(ConfigurationError, match=message):
        load_model(tmp_path / name)


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return os.mkdir, (self._path,)


@pytest.fixture
def crater(tmp_path):
    return tmp_path / "crater"


@pytest.mark.parametrize(
    ("name", "sha256"), [("m.joblib", None), ("m.joblib", "0" * 64), ("m.skops", None), ("m.skops", "right")]
)
def test_hostile_pickle_is_not_executed(tmp_path, crater, name, sha256):
    """Neither without a pin nor under another suffix."""
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb(crater)))
    with pytest.raises(Exception):  # noqa: B017
        load_model(path, sha256=digest(path) if sha256 == "right" else sha256)

    assert not crater.exists()


def test_hostile_pickle_is_executed_once_pinned(tmp_path, crater):
    """Proves that the pickle of the test above works: only the pin protects from it."""
    path = tmp_path / "m.joblib"
    path.write_bytes(pickle.dumps(Bomb(crater)))
    load_model(path, sha256=digest(path))

    assert crater.exists()


def test_skops_file_with_foreign_types_is_rejected(tmp_path, crater):
    """A function of the interpreter in an estimator is named, and not called."""
    path = tmp_path / "m.skops"
    skops.io.dump(FunctionTransformer(os.mkdir), path)
    with pytest.raises(ConfigurationError, match=r"not trusted.*mkdir"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_corrupt_skops_file_is_rejected(tmp_path, content):
    path = tmp_path / "m.skops"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"m\.skops"):
        load_model(path)


# Stores


def test_memory_store_returns_its_models():
    models = {"churn": object()}
    store = MemoryStore(models)
    models["late"] = object()

    assert models["churn"] is store.load("churn")
    with pytest.raises(NotFound):
        store.load("late")


def test_models_of_a_memory_store_are_not_changed():
    """A gate serves them with ``n_jobs=1``."""
    model = RandomForestClassifier(2, n_jobs=-1).fit(ROWS, [0, 1] * 20)
    gate = Gate([Deployment("churn", "store:churn")], store=MemoryStore({"churn": model}), keys="open")
    gate.score("churn", ROWS)

    assert -1 == model.n_jobs


@pytest.mark.parametrize("name", ["churn", "churn@7", "Churn-2_b", "a.b.c", "churn@1.0.3", "0"])
def test_folder_store_loads_by_name(tmp_path, skops_file, name):
    skops_file.rename(tmp_path / f"{name}.skops")

    assert 40 == len(FolderStore(str(tmp_path)).load(name).model.predict(ROWS))


def test_folder_store_pins_by_name(tmp_path, joblib_file):
    pinned = FolderStore(tmp_path, sha256={"churn": digest(joblib_file)})

    assert 40 == len(pinned.load("churn").model.predict(ROWS))
    with pytest.raises(ConfigurationError, match="pin it"):
        FolderStore(tmp_path, sha256={"other": digest(joblib_file)}).load("churn")


@pytest.mark.parametrize(
    ("name", "names", "meant"),
    [
        ("churn", ["churn", "churn@7"], "churn"),
        ("churn", ["churn@9", "churn@10", "price@11"], "churn@10"),
        ("churn@latest", ["churn", "churn@1.9", "churn@1.10"], "churn@1.10"),
        ("churn@latest", ["churn@v2", "churn@v10", "churn@production"], "churn@v10"),
        ("churn", ["churn@1.0", "churn@1.0rc1", "churn@1.0.dev1", "churn@1.0-beta.2"], "churn@1.0"),
        ("churn", ["churn@1.0", "churn@2.0rc1", "churn@2-nightly"], "churn@2.0rc1"),
        ("churn", ["churn@1.0", "churn@2-nightly", "churn@1.9"], "churn@2-nightly"),
        ("churn", ["churn@2-nightly", "churn@2"], "churn@2"),
        ("churn", ["churn@7-run9", "churn@7-run10"], "churn@7-run10"),
        ("churn", ["churn@1.9", "churn@1.10.dev1"], "churn@1.10.dev1"),
        ("churn", ["churn@1.0", "churn@1.0.post1", "churn@v0.9"], "churn@1.0.post1"),
        ("churn", ["churn@2024-05-01", "churn@2024-12-01", "churn@2024-11"], "churn@2024-12-01"),
        ("churn@7", ["churn@7", "churn@8"], "churn@7"),
        ("churn@production", ["churn@production", "churn@8"], "churn@production"),
        ("churn@6", ["churn@7", "churn"], None),
        ("churn", ["churn@production", "price"], None),
    ],
)
def test_names_resolve_to_versions(tmp_path, skops_file, name, names, meant):
    """An alias is never the newest version."""
    content = skops_file.read_bytes()
    skops_file.unlink()
    for stored in names:
        (tmp_path / f"{stored}.skops").write_bytes(content)
    folder, memory = FolderStore(tmp_path), MemoryStore({stored: stored for stored in names})
    if meant is None:
        for store in (folder, memory):
            with pytest.raises(NotFound):
                store.load(name)
    else:
        assert (meant, f"{meant}.skops") == (memory.load(name), folder._path(name).name)
        assert 40 == len(folder.load(name).model.predict(ROWS))


def test_folder_store_pins_resolved_versions(tmp_path, joblib_file):
    joblib_file.rename(tmp_path / "churn@7.joblib")
    store = FolderStore(tmp_path, sha256={"churn@7": digest(tmp_path / "churn@7.joblib")})

    assert 40 == len(store.load("churn").model.predict(ROWS))


def test_folder_store_follows_links(tmp_path, skops_file):
    skops_file.rename(tmp_path / "churn@7.skops")
    (tmp_path / "churn@production.skops").symlink_to("churn@7.skops")

    assert 40 == len(FolderStore(tmp_path).load("churn@production").model.predict(ROWS))


HOSTILE = [
    "",
    ".",
    "..",
    "../secret",
    "..\\secret",
    "a/../../secret",
    "./secret",
    "/etc/passwd",
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "..%2fsecret",
    "sub/secret",
    "~/secret",
    "file:secret",
    "file:///etc/passwd",
    "http://localhost/secret",
    "s3://bucket/secret",
    "churn\0",
    "churn\0.txt",
    "churn\n",
    "churn ",
    " churn",
    "churn#secret",
    "churn?secret",
    "-churn",
    ".hidden",
    "churn..skops",
    "churn@",
    "churn@../secret",
    "@7",
    "\u0441hurn",
    "\ud800",
    "churn\u202e",
    "a" * 300,
    ".".join(["a" * 60] * 6),
    "a" * 64 + "@" + "b" * 65,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_folder_store_reads_nothing_for_hostile_names(tmp_path, monkeypatch, name):
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "sub"):
        for stem in ("secret", ".hidden", "-churn", "churn ", " churn", "churn\n"):
            (place / f"{stem}.skops").write_bytes(b"secret")
    read = []
    for reader in ("open_package", "read_package_metadata", "check_file"):
        monkeypatch.setattr(modelgate.models.store, reader, lambda path, policy: read.append(path))
    store = FolderStore(folder)
    store.check(name)
    for method in (store.load, store.describe):
        with pytest.raises(NotFound):
            method(name)

    assert [] == read


def test_folder_store_raises_not_found(tmp_path):
    """A folder with the name of a bare file is not a model."""
    (tmp_path / "folder.skops").mkdir()
    for name in ("none", "folder"):
        with pytest.raises(NotFound):
            FolderStore(tmp_path).load(name)


def test_folder_store_needs_an_existing_folder(tmp_path):
    with pytest.raises(ConfigurationError, match="folder must"):
        FolderStore(tmp_path / "none")


# The cache


class Loader:
    """Loads objects, and records the requested names."""

    def __init__(self):
        self.names, self.failures = [], []

    def __call__(self, name):
        self.names.append(name)
        if self.failures:
            raise self.failures.pop()
        return [name]


@pytest.fixture
def loader():
    return Loader()


def get(cache, name):
    return drive(cache.get(name))


def test_cache_evicts_the_least_recently_used_model(loader):
    cache = ModelCache(loader, maxsize=2)
    hits = [get(cache, name)[1] for name in "abacab"]

    assert [False, False, True, False, True, False] == hits
    assert ["a", "b", "c", "b"] == loader.names


def test_cache_returns_the_same_object(loader):
    cache = ModelCache(loader)

    assert get(cache, "a")[0] is get(cache, "a")[0]


def test_peek_counts_hits_only(loader):
    cache = ModelCache(loader)
    before = cache.peek("a")
    loaded = get(cache, "a")[0]

    assert (None, loaded) == (before, cache.peek("a"))
    assert (1, 1) == cache.cache_info()[:2]


def test_cache_info_counts_like_lru_cache(loader):
    cache = ModelCache(loader, maxsize=2)
    for name in "aabc":
        get(cache, name)

    assert (1, 3, 2, 2, None, 0) == cache.cache_info()
    assert ["hits", "misses", "maxsize", "currsize", "maxbytes", "currbytes"] == list(
        cache.cache_info()._asdict()
    )
    cache.cache_clear()
    assert (0, 0, 2, 0, None, 0) == cache.cache_info()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("maxsize", value) for value in (0, -1, 1.5, "16", None)),
        *(("maxbytes", value) for value in (0, -1, 1.5, "1 GB")),
        *(("load_timeout", value) for value in (0, -1, "10", math.nan, math.inf, True)),
    ],
)
def test_cache_rejects_invalid_options(loader, option, value):
    with pytest.raises(ConfigurationError, match=option):
        ModelCache(loader, **{option: value})


def cached_names(cache, names):
    """Return the characters of *names* that are cached, without counting lookups."""
    return "".join(name for name in names if name in cache._models)


def test_cache_evicts_by_size(loader):
    """A model that is too large is cached alone."""
    sizes = {"a": 4, "b": 3, "c": 2, "d": 9, "e": 1}
    cache = ModelCache(loader, maxbytes=8, sizeof=lambda model: sizes[model[0]])
    seen = []
    for name in "abacde":
        get(cache, name)
        seen.append((cached_names(cache, "abcde"), cache.cache_info().currbytes))

    assert [("a", 4), ("ab", 7), ("ab", 7), ("ac", 6), ("d", 9), ("e", 1)] == seen
    assert 8 == cache.cache_info().maxbytes


def test_cache_counts_loads_failures_and_evictions(loader):
    """Replacing a model by a reload is not an eviction."""
    cache = ModelCache(loader, maxsize=1)
    for name in "aab":
        get(cache, name)
    drive(cache.reload("b"))
    cache._load = int
    with pytest.raises(DeploymentUnavailable):
        get(cache, "no number")

    assert (4, 1, 1) == (cache.loads, cache.failures, cache.evictions)


def test_pinned_models_are_not_evicted(loader):
    """Their size still counts."""
    cache = ModelCache(loader, maxsize=2)
    cache.pin("a", "b")
    drive(cache.prewarm(*"abcd"))
    pinned = cached_names(cache, "abcd")
    cache.unpin("a", "b")
    get(cache, "e")

    assert "abd" == pinned
    assert "de" == cached_names(cache, "abcde")
    assert list("abcde") == loader.names


def test_evicted_models_stay_usable(loader):
    cache = ModelCache(loader, maxsize=1)
    held, _ = get(cache, "a")
    get(cache, "b")
    cache.cache_clear()

    assert ["a"] == held


@pytest.mark.parametrize("error", [OSError("disk"), NotFound("no such model")], ids=repr)
def test_cache_remembers_failures_for_a_second(loader, error):
    """Each caller gets a new exception."""
    clock = FakeClock()
    cache = ModelCache(loader, clock=clock)
    loader.failures.append(error)
    raised = []
    for seconds in (0, 0.5, 0.4):
        clock.advance(seconds)
        with pytest.raises((DeploymentUnavailable, NotFound)) as info:
            get(cache, "a")
        raised.append(info.value)
    clock.advance(0.2)

    assert 3 == len({id(caught) for caught in raised})
    assert {error} == {caught.__cause__ for caught in raised} or {error.message} == {
        caught.message for caught in raised
    }
    assert ["a"] == loader.names
    assert (["a"], False) == get(cache, "a")
    assert (["a"], True) == get(cache, "a")


def test_remembered_failure_releases_local_variables():
    """Also those of its causes, which may form a circle."""

    class Content:
        pass

    seen = []

    def load(name):
        content = Content()
        seen.append(weakref.ref(content))
        try:
            raise OSError("disk")
        except OSError as error:
            error.__cause__ = error
            raise ValueError("no model") from error

    cache = ModelCache(load)
    with pytest.raises(DeploymentUnavailable) as info:
        get(cache, "a")

    assert "no model" == str(info.value.__cause__)
    assert seen[0]() is None


def test_reload_replaces_the_cached_model(loader):
    """A failed reload keeps the last good model."""
    clock = FakeClock()
    cache = ModelCache(loader, maxbytes=3, sizeof=lambda _: 2, clock=clock)
    old, _ = get(cache, "a")
    new = drive(cache.reload("a"))
    loader.failures.append(OSError("disk"))
    with pytest.raises(DeploymentUnavailable):
        drive(cache.reload("a"))

    assert old is not new
    assert (new, True) == get(cache, "a")
    assert get(cache, "a")[0] is new
    assert (1, 2) == cache.cache_info()[3::2]
    clock.advance(1)
    assert drive(cache.reload("a")) is get(cache, "a")[0] is not new


@pytest.mark.parametrize("way", ["sync", "async"])
def test_callers_of_a_hung_load_time_out(way):
    """The time-out counts from the start of the load; a late result is still cached."""
    load, clock, loaded = Held(), FakeClock(), threading.Event()
    cache = ModelCache(
        lambda name: load(name), load_timeout=0.02, sizeof=lambda _: loaded.set() or 1, clock=clock
    )
    ask = get if way == "sync" else lambda cache, name: asyncio.run(adrive(cache.get(name)))
    with pytest.raises(DeploymentUnavailable):
        ask(cache, "a")
    cache._load_timeout = 60
    clock.advance(61)
    with pytest.raises(DeploymentUnavailable):
        ask(cache, "a")
    clock.now -= 61
    load.go.set()

    assert loaded.wait(SOON)
    assert ["a"] == ask(cache, "a")[0]
    assert ["a"] == load.calls


class Held:
    """A load that waits until it is released."""

    def __init__(self, error=None):
        self.calls, self.go, self.error = [], threading.Event(), error

    def __call__(self, name):
        self.calls.append(name)
        assert self.go.wait(SOON)
        if self.error is not None:
            raise self.error
        return [name]


def run_threads(cache, count, go):
    """Return the results of *count* threads that all call before *go* is set."""
    outcomes = []

    def ask():
        try:
            outcomes.append(get(cache, "a"))
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: cache.cache_info().misses >= count)
    go.set()
    for thread in threads:
        thread.join(SOON)
    return outcomes


def run_tasks(cache, count, go):
    """Return the results of *count* asyncio tasks that all call before *go* is set."""

    async def main():
        tasks = [asyncio.create_task(adrive(cache.get("a"))) for _ in range(count)]
        await asyncio.sleep(0)
        assert cache.cache_info().misses == count
        go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)

    return asyncio.run(main())


STAMPEDES = pytest.mark.parametrize(
    ("stampede", "count"), [(run_threads, 64), (run_tasks, 1000)], ids=["threads", "tasks"]
)


@STAMPEDES
def test_concurrent_callers_share_one_load(stampede, count):
    load = Held()
    outcomes = stampede(ModelCache(load), count, load.go)

    assert ["a"] == load.calls
    assert [(["a"], False)] * count == outcomes
    assert 1 == len({id(model) for model, _ in outcomes})


@STAMPEDES
def test_failed_load_is_raised_for_all_waiting_callers(stampede, count, caplog):
    """Each gets a new exception; the log has one entry; the next call loads again."""
    error = OSError("disk")
    load = Held(error)
    clock = FakeClock()
    cache = ModelCache(load, clock=clock)
    outcomes = stampede(cache, count, load.go)
    load.error = None
    clock.advance(1)

    assert {(DeploymentUnavailable, error)} == {(type(outcome), outcome.__cause__) for outcome in outcomes}
    assert (count, 1) == (len({id(outcome) for outcome in outcomes}), caplog.text.count("OSError: disk"))
    assert ["a"] == load.calls
    assert (["a"], False) == get(cache, "a")


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("stampede", [run_threads, run_tasks], ids=["threads", "tasks"])
def test_any_exception_of_a_load_reaches_its_callers(stampede, error):
    load = Held(error)
    outcomes = stampede(ModelCache(load), 3, load.go)

    assert [DeploymentUnavailable] * 3 == [type(outcome) for outcome in outcomes]


def test_different_models_load_concurrently():
    slow, started = threading.Event(), threading.Event()

    def load(name):
        if name == "slow":
            started.set()
            assert slow.wait(SOON)
        return [name]

    cache = ModelCache(load)
    thread = threading.Thread(target=get, args=(cache, "slow"))
    thread.start()
    assert started.wait(SOON)
    quick = [get(cache, "quick")[1], get(cache, "quick")[1]]
    slow.set()
    thread.join(SOON)

    assert [False, True] == quick
    assert get(cache, "slow")[1]


def test_cache_limits_concurrent_loads():
    """Eight run at once; the others queue."""
    load, running, most = Held(), [], []

    def counted(name):
        running.append(name)
        most.append(len(running))
        try:
            return load(name)
        finally:
            running.remove(name)

    cache = ModelCache(counted, maxsize=2, load_timeout=60)

    async def main():
        tasks = [asyncio.create_task(adrive(cache.get(f"m{index}"))) for index in range(30)]
        while len(running) < 8:
            await asyncio.sleep(0.001)
        load.go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks), SOON)

    assert [[f"m{index}"] for index in range(30)] == [model for model, _ in asyncio.run(main())]
    assert 8 == max(most)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_cold_model_is_unavailable_without_a_thread(way, monkeypatch):
    """It is loaded as soon as a thread can be started."""

    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    cache = ModelCache(lambda name: [name])
    ask = get if way == "sync" else lambda cache, name: asyncio.run(adrive(cache.get(name)))
    with monkeypatch.context() as patched:
        patched.setattr("modelgate.flow.fair_pool.threading.Thread", NoThread)
        with pytest.raises(DeploymentUnavailable):
            ask(cache, "a")

    assert (["a"], False) == ask(cache, "a")


def test_cancelling_one_caller_does_not_cancel_the_load():
    load = Held()
    cache = ModelCache(load)

    async def main():
        tasks = [asyncio.create_task(adrive(cache.get("a"))) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        load.go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)

    first, *others = asyncio.run(main())

    assert isinstance(first, asyncio.CancelledError)
    assert [(["a"], False)] * 2 == others
    assert ["a"] == load.calls


def test_load_without_callers_fills_the_cache():
    load, loaded = Held(), threading.Event()
    cache = ModelCache(lambda name: (load(name), loaded.set())[0])

    async def main():
        task = asyncio.create_task(adrive(cache.get("a")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    load.go.set()
    assert loaded.wait(SOON)
    assert ["a"] == get(cache, "a")[0]
    assert ["a"] == load.calls


def test_cache_passes_not_found_through():
    with pytest.raises(NotFound):
        get(ModelCache(MemoryStore({}).load), "none")
