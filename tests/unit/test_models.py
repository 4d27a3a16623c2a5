"""Model files, stores, and the cache."""

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
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import modelgate.models.store
from modelgate.errors import ConfigurationError, DeploymentUnavailable, NotFound
from modelgate.flow import adrive, drive
from modelgate.models import FolderStore, MemoryStore, ModelCache, load_model
from modelgate.models.versions import is_older, meant
from modelgate.testing import Clock
from waiting import SOON, wait_until

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
def test_a_skops_file_is_loaded(skops_file, model, convert, change):
    """What was saved predicts as before, with a pin and without."""
    sha256 = None if change is None else change(digest(skops_file))
    loaded = load_model(convert(skops_file), sha256=sha256)

    assert np.array_equal(model.predict_proba(ROWS), loaded.predict_proba(ROWS))


def test_a_pinned_joblib_file_is_loaded(joblib_file, model):
    """The pin vouches for it."""
    loaded = load_model(joblib_file, sha256=digest(joblib_file))

    assert np.array_equal(model.predict_proba(ROWS), loaded.predict_proba(ROWS))


def test_a_joblib_file_needs_a_pin(joblib_file):
    """The message holds the digest to pin."""
    with pytest.raises(ConfigurationError) as info:
        load_model(joblib_file)

    assert f'sha256="{digest(joblib_file)}"' in str(info.value)


@pytest.mark.parametrize("fixture", ["skops_file", "joblib_file"])
def test_another_file_than_the_one_pinned_is_refused(request, fixture):
    """The message tells the digest found."""
    path = request.getfixturevalue(fixture)
    with pytest.raises(ConfigurationError, match=digest(path)):
        load_model(path, sha256="0" * 64)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "g" * 64, "sha256:" + "0" * 64, "0" * 65])
def test_what_is_no_digest_is_refused(joblib_file, sha256):
    """A pin that cannot fit says so, and is no pin."""
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        load_model(joblib_file, sha256=sha256)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("churn.pkl", "joblib or .onnx"),
        ("churn", "skops"),
        ("none.skops", "no such file"),
        ("d.skops", "no such"),
    ],
)
def test_what_is_no_model_file_is_refused(tmp_path, name, told):
    """Another kind, a missing file, a folder."""
    (tmp_path / "churn.pkl").write_bytes(b"")
    (tmp_path / "d.skops").mkdir()
    with pytest.raises(ConfigurationError, match=told):
        load_model(tmp_path / name)


class Bomb:
    """Makes a folder where it is unpickled."""

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
def test_a_hostile_pickle_is_never_executed(tmp_path, crater, name, sha256):
    """Neither without its pin, nor under another name."""
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb(crater)))
    with pytest.raises(Exception):  # noqa: B017
        load_model(path, sha256=digest(path) if sha256 == "right" else sha256)

    assert not crater.exists()


def test_the_bomb_is_one(tmp_path, crater):
    """The pickle of the test above does run once it is pinned: the pin is what stands between."""
    path = tmp_path / "m.joblib"
    path.write_bytes(pickle.dumps(Bomb(crater)))
    load_model(path, sha256=digest(path))

    assert crater.exists()


def test_a_skops_file_of_foreign_types_is_refused(tmp_path, crater):
    """A function of the interpreter in a scikit-learn estimator is named, and not called."""
    path = tmp_path / "m.skops"
    skops.io.dump(FunctionTransformer(os.mkdir), path)
    with pytest.raises(ConfigurationError, match=r"not trusted.*mkdir"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_a_corrupt_skops_file_is_refused(tmp_path, content):
    """A file that is of another kind than its name says is named in the error."""
    path = tmp_path / "m.skops"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"m\.skops"):
        load_model(path)


# Stores


def test_a_memory_store_has_its_models():
    """Those it was given, and no others."""
    models = {"churn": object()}
    store = MemoryStore(models)
    models["late"] = object()

    assert models["churn"] is store.load("churn")
    with pytest.raises(NotFound):
        store.load("late")


@pytest.mark.parametrize("name", ["churn", "churn@7", "Churn-2_b", "a.b.c", "churn@1.0.3", "0"])
def test_a_folder_store_loads_by_name(tmp_path, skops_file, name):
    """Models, and versions of them, each in a file of its name."""
    skops_file.rename(tmp_path / f"{name}.skops")

    assert 40 == len(FolderStore(str(tmp_path)).load(name).model.predict(ROWS))


def test_a_folder_store_pins_by_name(tmp_path, joblib_file):
    """A joblib file is loaded where its name has the pin."""
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
        ("churn", ["churn@1.0", "churn@1.0.post1", "churn@v0.9"], "churn@1.0.post1"),
        ("churn@7", ["churn@7", "churn@8"], "churn@7"),
        ("churn@production", ["churn@production", "churn@8"], "churn@production"),
        ("churn@6", ["churn@7", "churn"], None),
        ("churn", ["churn@production", "price"], None),
    ],
)
def test_which_version_is_meant(tmp_path, skops_file, name, names, meant):
    """The one named, or the newest; an alias is not newer than anything."""
    content = skops_file.read_bytes()
    skops_file.unlink()
    for told in names:
        (tmp_path / f"{told}.skops").write_bytes(content)
    folder, memory = FolderStore(tmp_path), MemoryStore({told: told for told in names})
    if meant is None:
        for store in (folder, memory):
            with pytest.raises(NotFound):
                store.load(name)
    else:
        assert (meant, f"{meant}.skops") == (memory.load(name), folder._path(name).name)
        assert 40 == len(folder.load(name).model.predict(ROWS))


PHASES = ["", ".dev1", "a1", "-beta.2", "rc1", "rc1.dev2", ".post1", ".post1.dev3", "a1.post2"]
VERSIONS = st.builds(
    "{}{}".format,
    st.from_regex(r"(0|[1-9][0-9]?)(\.(0|[1-9][0-9]?)){0,2}", fullmatch=True),
    st.sampled_from(PHASES),
)


@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_as_packaging_does(one, other):
    """The newer of two by PEP 440 is what is meant, and the other one is older."""
    older = Version(one) < Version(other)

    assert older is is_older(one, other)
    if older:
        assert f"churn@{other}" == meant("churn", [f"churn@{one}", f"churn@{other}"])


def test_a_version_that_is_meant_has_its_own_pin(tmp_path, joblib_file):
    """Also where it is asked for as the newest one."""
    joblib_file.rename(tmp_path / "churn@7.joblib")
    store = FolderStore(tmp_path, sha256={"churn@7": digest(tmp_path / "churn@7.joblib")})

    assert 40 == len(store.load("churn").model.predict(ROWS))


def test_a_link_is_an_alias(tmp_path, skops_file):
    """It means what it leads to."""
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
def test_a_hostile_name_is_not_found_and_nothing_read(tmp_path, monkeypatch, name):
    """A name is a token: it spells no path and no URL, and no file is opened for it."""
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "sub"):
        for stem in ("secret", ".hidden", "-churn", "churn ", " churn", "churn\n"):
            (place / f"{stem}.skops").write_bytes(b"secret")
    read = []
    for reader in ("open_package", "sidecars_of", "check_file"):
        monkeypatch.setattr(modelgate.models.store, reader, lambda path, rules: read.append(path))
    store = FolderStore(folder)
    store.check(name)
    for method in (store.load, store.describe):
        with pytest.raises(NotFound):
            method(name)

    assert [] == read


def test_a_name_without_a_file_is_not_found(tmp_path):
    """A folder of the name is no file."""
    (tmp_path / "folder.skops").mkdir()
    for name in ("none", "folder"):
        with pytest.raises(NotFound):
            FolderStore(tmp_path).load(name)


def test_a_folder_store_needs_a_folder(tmp_path):
    """One that exists."""
    with pytest.raises(ConfigurationError, match="folder="):
        FolderStore(tmp_path / "none")


# The cache


class Loader:
    """Loads objects, and remembers the names asked."""

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


def test_the_least_recently_used_model_goes_first(loader):
    """A hit makes a model recent."""
    cache = ModelCache(loader, maxsize=2)
    hits = [get(cache, name)[1] for name in "abacab"]

    assert [False, False, True, False, True, False] == hits
    assert ["a", "b", "c", "b"] == loader.names


def test_a_hit_is_the_same_model(loader):
    """It is made once."""
    cache = ModelCache(loader)

    assert get(cache, "a")[0] is get(cache, "a")[0]


def test_a_model_in_memory_is_there_at_once(loader):
    """Which is a hit; what is not there is no miss yet."""
    cache = ModelCache(loader)
    before = cache.peek("a")
    loaded = get(cache, "a")[0]

    assert (None, loaded) == (before, cache.peek("a"))
    assert (1, 1) == cache.cache_info()[:2]


def test_cache_info_counts(loader):
    """Hits, misses and sizes, as functools.lru_cache tells them; cache_clear starts anew."""
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
        *(("patience", value) for value in (0, -1, "10", math.nan)),
    ],
)
def test_an_option_of_a_cache_that_cannot_work(loader, option, value):
    """Is refused, and named."""
    with pytest.raises(ConfigurationError, match=f"{option}="):
        ModelCache(loader, **{option: value})


def kept(cache, names):
    """Which of *names* are in the cache, without asking for them."""
    return "".join(name for name in names if name in cache._kept)


def test_models_are_dropped_by_their_bytes(loader):
    """The least recently used ones, until the rest fits; one that is too large stays alone."""
    sizes = {"a": 4, "b": 3, "c": 2, "d": 9, "e": 1}
    cache = ModelCache(loader, maxbytes=8, sizeof=lambda model: sizes[model[0]])
    seen = []
    for name in "abacde":
        get(cache, name)
        seen.append((kept(cache, "abcde"), cache.cache_info().currbytes))

    assert [("a", 4), ("ab", 7), ("ab", 7), ("ac", 6), ("d", 9), ("e", 1)] == seen
    assert 8 == cache.cache_info().maxbytes


def test_loads_failures_and_evictions_are_counted(loader):
    """A model that is loaded anew takes its own place, and is dropped for no other."""
    cache = ModelCache(loader, maxsize=1)
    for name in "aab":
        get(cache, name)
    drive(cache.reload("b"))
    cache._load = int
    with pytest.raises(DeploymentUnavailable):
        get(cache, "no number")

    assert (4, 1, 1) == (cache.loads, cache.failures, cache.evictions)


def test_a_pinned_model_is_dropped_for_no_other(loader):
    """It counts, so that there is less room for the others; unpinned it goes as any other."""
    cache = ModelCache(loader, maxsize=2)
    cache.pin("a", "b")
    drive(cache.prewarm(*"abcd"))
    pinned = kept(cache, "abcd")
    cache.unpin("a", "b")
    get(cache, "e")

    assert "abd" == pinned
    assert "de" == kept(cache, "abcde")
    assert list("abcde") == loader.names


def test_an_evicted_model_is_usable_by_its_holder(loader):
    """Dropping a model takes it from nobody."""
    cache = ModelCache(loader, maxsize=1)
    held, _ = get(cache, "a")
    get(cache, "b")
    cache.cache_clear()

    assert ["a"] == held


@pytest.mark.parametrize("error", [OSError("disk"), NotFound("no such model")], ids=repr)
def test_a_failure_is_remembered_for_a_second(loader, error):
    """Who asks within it is told the same, in an error of his own; then there is another try."""
    clock = Clock()
    cache = ModelCache(loader, clock=clock)
    loader.failures.append(error)
    raised = []
    for seconds in (0, 0.5, 0.4):
        clock.advance(seconds)
        with pytest.raises((DeploymentUnavailable, NotFound)) as info:
            get(cache, "a")
        raised.append(info.value)
    clock.advance(0.2)

    assert 3 == len({id(told) for told in raised})
    assert {error} == {told.__cause__ for told in raised} or {error.message} == {
        told.message for told in raised
    }
    assert ["a"] == loader.names
    assert (["a"], False) == get(cache, "a")
    assert (["a"], True) == get(cache, "a")


def test_a_remembered_failure_holds_nothing_that_was_being_read():
    """The locals of its traceback are gone, also where it has causes, and a cause that is itself."""

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


def test_a_reload_takes_the_place_of_what_was_there(loader):
    """Who holds the old one keeps it; one that fails leaves the last good copy."""
    clock = Clock()
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
def test_a_load_that_hangs_holds_nobody_up_for_ever(way):
    """Its callers wait as long as their patience is, from its beginning on; what it loads at last is kept."""
    load, clock, loaded = Held(), Clock(), threading.Event()
    cache = ModelCache(
        lambda name: load(name), patience=0.02, sizeof=lambda _: loaded.set() or 1, clock=clock
    )
    ask = get if way == "sync" else lambda cache, name: asyncio.run(adrive(cache.get(name)))
    with pytest.raises(DeploymentUnavailable):
        ask(cache, "a")
    cache._patience = 60
    clock.advance(61)
    with pytest.raises(DeploymentUnavailable):
        ask(cache, "a")
    clock.now -= 61
    load.go.set()

    assert loaded.wait(SOON)
    assert ["a"] == ask(cache, "a")[0]
    assert ["a"] == load.calls


class Held:
    """A load that waits until it is let go."""

    def __init__(self, error=None):
        self.calls, self.go, self.error = [], threading.Event(), error

    def __call__(self, name):
        self.calls.append(name)
        assert self.go.wait(SOON)
        if self.error is not None:
            raise self.error
        return [name]


def outcomes_of_threads(cache, count, go):
    """What *count* threads get that all ask before *go* is set."""
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


def outcomes_of_tasks(cache, count, go):
    """What *count* asyncio tasks get that all ask before *go* is set."""

    async def main():
        tasks = [asyncio.create_task(adrive(cache.get("a"))) for _ in range(count)]
        await asyncio.sleep(0)
        assert cache.cache_info().misses == count
        go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)

    return asyncio.run(main())


STAMPEDES = pytest.mark.parametrize(
    ("stampede", "count"), [(outcomes_of_threads, 64), (outcomes_of_tasks, 1000)], ids=["threads", "tasks"]
)


@STAMPEDES
def test_however_many_ask_at_once_it_is_loaded_once(stampede, count):
    """One load for all of them, and one model."""
    load = Held()
    outcomes = stampede(ModelCache(load), count, load.go)

    assert ["a"] == load.calls
    assert [(["a"], False)] * count == outcomes
    assert 1 == len({id(model) for model, _ in outcomes})


@STAMPEDES
def test_a_failed_load_is_told_to_all_who_wait(stampede, count, caplog):
    """Each has an error of its own, the log has one; then it is tried again."""
    error = OSError("disk")
    load = Held(error)
    clock = Clock()
    cache = ModelCache(load, clock=clock)
    outcomes = stampede(cache, count, load.go)
    load.error = None
    clock.advance(1)

    assert {(DeploymentUnavailable, error)} == {(type(told), told.__cause__) for told in outcomes}
    assert (count, 1) == (len({id(told) for told in outcomes}), caplog.text.count("OSError: disk"))
    assert ["a"] == load.calls
    assert (["a"], False) == get(cache, "a")


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("stampede", [outcomes_of_threads, outcomes_of_tasks], ids=["threads", "tasks"])
def test_no_error_of_a_load_leaves_a_caller_waiting(stampede, error):
    """Whatever the load raises, each of its callers is told."""
    load = Held(error)
    outcomes = stampede(ModelCache(load), 3, load.go)

    assert [DeploymentUnavailable] * 3 == [type(outcome) for outcome in outcomes]


def test_different_models_load_side_by_side():
    """A slow load holds up no other model, and no model that is there."""
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


def test_so_many_models_load_at_once():
    """Eight at most: the others queue, and are loaded as well."""
    load, running, most = Held(), [], []

    def counted(name):
        running.append(name)
        most.append(len(running))
        try:
            return load(name)
        finally:
            running.remove(name)

    cache = ModelCache(counted, maxsize=2, patience=SOON)

    async def main():
        tasks = [asyncio.create_task(adrive(cache.get(f"m{at}"))) for at in range(30)]
        while len(running) < 8:
            await asyncio.sleep(0.001)
        load.go.set()
        return await asyncio.wait_for(asyncio.gather(*tasks), SOON)

    assert [[f"m{at}"] for at in range(30)] == [model for model, _ in asyncio.run(main())]
    assert 8 == max(most)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_cold_model_where_the_system_gives_no_thread(way, monkeypatch):
    """It is unavailable, and is loaded as soon as there is a thread."""

    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    cache = ModelCache(lambda name: [name])
    ask = get if way == "sync" else lambda cache, name: asyncio.run(adrive(cache.get(name)))
    with monkeypatch.context() as patched:
        patched.setattr("modelgate.flow.threads.threading.Thread", NoThread)
        with pytest.raises(DeploymentUnavailable):
            ask(cache, "a")

    assert (["a"], False) == ask(cache, "a")


def test_a_cancelled_first_caller_takes_nothing_from_the_others():
    """The load belongs to none of its callers."""
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


def test_a_load_that_everybody_left_still_fills_the_cache():
    """Its result is there for the next."""
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


def test_a_model_that_is_not_there_is_not_found():
    """A store's NotFound passes through the cache as it is."""
    with pytest.raises(NotFound):
        get(ModelCache(MemoryStore({}).load), "none")
