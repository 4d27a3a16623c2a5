"""What every store of files holds to; and what is fsspec's own."""

import contextlib
import hashlib
import itertools
import multiprocessing
import os
import sys
import threading

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from sklearn.linear_model import LogisticRegression

from modelgate import ConfigurationError, Deployment, FolderStore, Gate, ModelPackage, NotFound, StoreError
from modelgate.models import FsspecStore, SharedStore, SqlModelStore
from modelgate.testing import Client

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
MODEL = LogisticRegression().fit(ROWS, YES)
ROW = {"x0": 1, "x1": 2}

folders = map("folder{}".format, itertools.count())


def package(name="churn", version="1", **options):
    return ModelPackage.from_estimator(MODEL, ROWS, name=name, version=version, **options)


class Folder:
    """Makes stores over one folder, puts packages there, and files of any content."""

    def __init__(self, path):
        self._path = path
        path.mkdir()

    def store(self, **options):
        return FolderStore(self._path, **options)

    def put(self, package, *, key=None):
        told = package.manifest
        return package.save(self._path / f"{told.name}@{told.version}.mgpkg", key=key)

    def alias(self, name, alias, version):
        link = self._path / f"{name}@{alias}.mgpkg"
        link.unlink(missing_ok=True)
        link.symlink_to(f"{name}@{version}.mgpkg")

    def bare(self, content):
        (self._path / "bare.skops").write_bytes(content)

    def copy(self, name, other):
        (self._path / f"{other}.mgpkg").write_bytes((self._path / f"{name}.mgpkg").read_bytes())


class Fsspec:
    """The same over a file system of fsspec."""

    def __init__(self, url):
        self._url = url

    def store(self, **options):
        return FsspecStore(self._url, **options)

    def put(self, package, *, key=None):
        return self.store(key=key).save(package)

    def alias(self, *told):
        self.store().alias(*told)

    def bare(self, content):
        fs, folder = fsspec.core.url_to_fs(self._url)
        fs.pipe_file(f"{folder}/bare.skops", content)

    def copy(self, name, other):
        fs, folder = fsspec.core.url_to_fs(self._url)
        fs.pipe_file(f"{folder}/{other}.mgpkg", fs.cat_file(f"{folder}/{name}.mgpkg"))


class Sql:
    """The same over a database."""

    def __init__(self, url, stack):
        self._url, self._stack = url, stack

    def store(self, **options):
        return self._stack.enter_context(contextlib.closing(SqlModelStore(self._url, **options)))

    def put(self, package, *, key=None):
        return self.store(key=key).save(package).sha256

    def alias(self, *told):
        self.store().alias(*told)


@pytest.fixture
def memory():
    """A folder in fsspec's memory, which is gone after."""
    name = next(folders)
    yield f"memory://{name}/models"
    MemoryFileSystem.store.clear()


@pytest.fixture(params=["folder", "local", "memory", "sql"])
def kept(request, tmp_path):
    """Where models are kept, of each kind."""
    if request.param == "folder":
        yield Folder(tmp_path / "models")
    elif request.param == "local":
        (tmp_path / "models").mkdir()
        yield Fsspec(f"file://{tmp_path}/models")
    elif request.param == "memory":
        yield Fsspec(request.getfixturevalue("memory"))
    else:
        with contextlib.ExitStack() as stack:
            yield Sql(f"sqlite:///{tmp_path}/models.db", stack)


# Every store


def test_what_is_kept_is_given_back(kept):
    """The very package, and what is told of it; by way of its bytes too."""
    digest = kept.put(package(threshold=0.3))
    store = kept.store()
    loaded, told = store.load("churn@1"), store.describe("churn@1")
    packed = store.fetch("churn@1")
    opened = store.open("churn", packed)

    assert np.array_equal(MODEL.predict_proba(ROWS), loaded.model.predict_proba(ROWS))
    assert (digest, "churn", "1", 0.3) == (
        loaded.sha256,
        loaded.manifest.name,
        loaded.manifest.version,
        loaded.manifest.threshold,
    )
    assert (loaded.manifest, loaded.schema.columns) == (told.manifest, told.schema.columns)
    assert ("churn@1", ".mgpkg", digest) == (
        packed.name,
        packed.suffix,
        hashlib.sha256(packed.content).hexdigest(),
    )
    assert (digest, loaded.manifest) == (opened.sha256, opened.manifest)


def test_versions_and_aliases(kept):
    """A version, the latest one, and what an alias means now."""
    for version in ("1.2", "1.10", "1.9", "1.10rc1"):
        kept.put(package(version=version))
    kept.put(package("price"))
    kept.alias("churn", "production", "1.9")
    store = kept.store()
    asked = ("churn", "churn@latest", "churn@1.2", "churn@production", "price")
    meant = [store.version(name) for name in asked]
    loaded = [store.load(name).manifest.version for name in asked]
    kept.alias("churn", "production", "1.2")

    assert ["churn@1.10", "churn@1.10", "churn@1.2", "churn@1.9", "price@1"] == meant
    assert ["1.10", "1.10", "1.2", "1.9", "1"] == loaded
    assert ("1.2", "churn@1.2") == (
        store.describe("churn@production").manifest.version,
        store.version("churn@production"),
    )


HOSTILE = ["", ".", "..", "../churn", "./churn@1", "/churn@1", "%2e%2e/churn", "s3://bucket/churn", "churn\0"]
HOSTILE += [
    "churn@",
    "churn@../1",
    "churn@1/../1",
    "churn@*",
    "churn*",
    "churn?1",
    "churn\n",
    "\u0441hurn",
    "@1",
]


@pytest.mark.parametrize("name", ["none", "churn@2", "churn@none", *HOSTILE], ids=ascii)
def test_what_is_not_there(kept, name):
    """Neither it nor a name that is no token is found."""
    kept.put(package())
    store = kept.store()
    for method in (store.load, store.describe, store.version):
        with pytest.raises(NotFound):
            method(name)


def test_pins(kept):
    """By name and version, or by who asks; an alias has the pin of what it means."""
    digest = kept.put(package())
    kept.alias("churn", "production", "1")
    pinned, right = kept.store(sha256={"churn@1": "0" * 64}), kept.store(sha256={"churn@1": digest})

    assert "churn" == right.load("churn@1").manifest.name
    for act in (
        lambda: kept.store().load("churn", sha256="0" * 64),
        lambda: pinned.load("churn"),
        lambda: pinned.load("churn@1"),
    ):
        with pytest.raises(ConfigurationError, match="digest"):
            act()


def test_signatures(kept):
    """What is not signed is neither loaded nor described."""
    kept.put(package(), key=KEY)
    kept.put(package("fraud"))
    store = kept.store(key=KEY)

    assert ("1", "1") == (store.load("churn").manifest.version, store.describe("churn").manifest.version)
    for method in (store.load, store.describe):
        with pytest.raises(ConfigurationError, match="not signed"):
            method("fraud")


def test_a_signed_package_in_the_place_of_another(kept):
    """Of another model, or of another version of the same one, is refused, also where it is the newest."""
    if not hasattr(kept, "copy"):
        return
    kept.put(package(), key=KEY)
    kept.put(package("odd", "7"), key=KEY)
    for other in ("price@1", "price", "churn@9", "odd@production"):
        kept.copy("churn@1", other)
    store = kept.store(key=KEY)
    acts = [store.load, store.describe, *([store.check] if hasattr(store, "check") else [])]
    for name in ("price", "price@1", "churn", "churn@9", "churn@latest", "odd@production"):
        for act in acts:
            with pytest.raises(ConfigurationError, match="holds the package churn@1"):
                act(name)
    with pytest.raises(ConfigurationError, match="holds the package churn@1"):
        store.tell("churn@9", store.fetch("churn@9").content)
    with pytest.raises(ConfigurationError, match="holds the package churn@1"):
        store.open("churn@9", store.fetch("churn@9"))

    assert ("1", "1") == (
        store.load("churn@1").manifest.version,
        kept.store().load("churn@9").manifest.version,
    )


def test_a_pickle(kept):
    """By permission and with a pin, as everywhere."""
    digest = kept.put(package(format="joblib"))
    for options, pin in (({}, digest), ({"allow_pickle": True}, None)):
        with pytest.raises(ConfigurationError, match="holds a pickle"):
            kept.store(**options).load("churn", sha256=pin)

    assert ["no", "yes"] == kept.store(allow_pickle=True).load("churn", sha256=digest).model.classes_.tolist()


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_gate(kept, interface):
    """A faulty row loads no model; a reload finds the version that is the latest by then."""
    kept.put(package(threshold=0.999))
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=kept.store())
    client = Client(getattr(gate, interface))
    faulty = client.post("/simple/churn", json={"x0": 1})
    cold = gate.cache.cache_info().misses
    first = client.post("/simple/churn", json=ROW).json()
    kept.put(package(version="2", threshold=0.001))
    gate.reload("churn")
    second = client.post("/simple/churn", json=ROW).json()

    assert (400, ["x1"], 0) == (faulty.status, faulty.json()["missing_columns"], cold)
    assert ("no", "yes") == (first["prediction"], second["prediction"])


def test_redis_before_it(kept, redis_server):
    """Each of them may have it."""
    kept.put(package())
    scope = next(folders)
    for _ in range(2):
        store = SharedStore(kept.store(), redis_server.uri, key=KEY, scope=scope)
        assert "1" == store.load("churn").manifest.version
        store._workers._share.submit(lambda: None).result(30)

    assert store._get("model", "churn@1").startswith(b".mgpkg\n")


@pytest.fixture(params=["alone", "behind Redis"])
def watched(request, kept):
    """Makes stores over what is kept, alone and with Redis before it."""
    if request.param == "alone":
        return kept.store
    uri, scope = request.getfixturevalue("redis_server").uri, next(folders)
    return lambda: SharedStore(kept.store(), uri, key=KEY, scope=scope)


def test_marks(kept, watched):
    """Are others where another model is meant, and the same for everybody where none is."""
    names = ("churn@1", "churn", "churn@latest", "churn@production")
    store = watched()

    def marks():
        told = [store.mark(name) for name in names]
        assert told == [watched().mark(name) for name in names]
        return told

    kept.put(package())
    kept.alias("churn", "production", "1")
    first = marks()
    store.load("churn")
    assert first == marks()
    kept.put(package(version="2"))
    second = marks()
    kept.alias("churn", "production", "2")
    third = marks()
    kept.alias("churn", "production", "1")

    assert [False, True, True, False] == [a != b for a, b in zip(first, second, strict=True)]
    assert [False, False, False, True] == [a != b for a, b in zip(second, third, strict=True)]
    assert second == marks()


def test_the_mark_of_a_file_that_is_replaced(kept, watched):
    """Is another one, also where it is as long."""
    if not hasattr(kept, "bare"):
        return
    store, seen = watched(), set()
    for content in (b"one", b"two", b"three"):
        kept.bare(content)
        seen.add(store.mark("bare"))

    assert 3 == len(seen)


@pytest.mark.parametrize("name", ["none", "churn@2", "churn@none", "", "../churn", "churn@*"])
def test_the_mark_of_what_is_not_there(kept, watched, name):
    """Is none."""
    kept.put(package())
    with pytest.raises(NotFound):
        watched().mark(name)


def test_a_gate_that_watches(kept, watched):
    """Serves the newest version, and what an alias means, after its next look."""
    kept.put(package())
    kept.alias("churn", "production", "1")
    deployments = [Deployment("newest", "store:churn"), Deployment("meant", "store:churn@production")]
    gate = Gate(deployments, keys="open", store=watched(), watch=10_000)

    def versions():
        gate._look()
        client = Client(gate.wsgi)
        told = [client.post(f"/predict/{name}", json=ROW).json() for name in ("newest", "meant")]
        return [answer["model_version"] for answer in told]

    seen = [versions()]
    kept.put(package(version="2"))
    seen.append(versions())
    kept.alias("churn", "production", "2")
    seen.append(versions())

    assert [["1", "1"], ["2", "1"], ["2", "2"]] == seen


# fsspec's own


def test_to_read_a_file_does_not_change_its_mark(odd, monkeypatch):
    """Of storages that tell when it was read last."""
    read = itertools.count()
    ls = MemoryFileSystem.ls

    def told(*args, **options):
        times = dict.fromkeys(["time", "accessTime", "last_accessed_on"], next(read))
        return [{**entry, **times} for entry in ls(*args, **options)]

    monkeypatch.setattr(MemoryFileSystem, "ls", told)

    assert odd.mark("churn") == odd.mark("churn")


def test_a_version_never_changes(memory):
    """It is saved once; it is no alias, and no alias is it."""
    store = FsspecStore(memory)
    store.save(package())
    store.alias("churn", "production", "1")
    for version in ("1", "latest", "production"):
        with pytest.raises(ConfigurationError, match=f"version='{version}'"):
            store.save(package(version=version))
    for alias in ("latest", "1", "a/b", ""):
        with pytest.raises(ConfigurationError, match="alias="):
            store.alias("churn", alias, "1")
    for name, version in (("churn", "2"), ("none", "1"), ("churn", "../1")):
        with pytest.raises(NotFound):
            store.alias(name, "staging", version)


def test_two_who_save_at_once(memory, monkeypatch):
    """One of them is told, also where neither saw the other's."""
    store = FsspecStore(memory)
    store.save(package())
    monkeypatch.setattr(store, "_list", lambda fs: {})
    with pytest.raises(ConfigurationError, match="version='1'"):
        store.save(package())


@pytest.mark.parametrize("content", [b"", b"2", b"../1", b"1" * 1000, b"\xff", b"production"])
def test_an_alias_that_names_nothing(memory, content):
    """Is not found, whatever is in its file."""
    store = FsspecStore(memory)
    store.save(package())
    fs, folder = fsspec.core.url_to_fs(memory)
    fs.pipe_file(f"{folder}/churn@production.alias", content)
    with pytest.raises(NotFound):
        store.load("churn@production")


def test_bare_files_and_others(memory):
    """A bare file is a model; other files and folders are not looked at."""
    import skops.io

    fs, folder = fsspec.core.url_to_fs(memory)
    fs.pipe_file(f"{folder}/churn@7.skops", skops.io.dumps(MODEL))
    fs.pipe_file(f"{folder}/notes.txt", b"")
    fs.pipe_file(f"{folder}/sub.mgpkg/manifest.json", b"{}")
    store = FsspecStore(memory)

    assert np.array_equal(MODEL.predict(ROWS), store.load("churn").model.predict(ROWS))
    assert store.describe("churn") is None
    for name in ("notes", "sub"):
        with pytest.raises(NotFound):
            store.load(name)


class Odd(MemoryFileSystem):
    """A storage with troubles."""

    protocol = "odd"
    cachable = True
    fails, hangs, read = set(), threading.Event(), []

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("odd:", "memory:"))

    def _trouble(self, act):
        self.read.append(act)
        if act in self.fails:
            raise OSError("the bucket's own secret")
        if f"hang {act}" in self.fails:
            self.hangs.wait(30)

    def ls(self, *args, **options):
        self._trouble("ls")
        return super().ls(*args, **options)

    def cat_file(self, *args, **options):
        self._trouble("cat")
        return super().cat_file(*args, **options)

    def _open(self, *args, **options):
        self._trouble("open")
        file = super()._open(*args, **options)
        read = file.read

        def counted(*args):
            self._trouble("read")
            return read(*args)

        file.read = counted
        return file


@pytest.fixture
def odd(memory):
    fsspec.register_implementation("odd", Odd, clobber=True)
    FsspecStore(memory).save(package())
    yield FsspecStore(memory.replace("memory:", "odd:"), timeout=0.2)
    Odd.hangs.set()
    Odd.fails.clear()
    Odd.read.clear()
    Odd.hangs = threading.Event()


@pytest.mark.parametrize("trouble", ["ls", "cat", "hang ls", "hang cat"])
def test_a_storage_that_fails_or_hangs(odd, trouble):
    """Is a StoreError within the time-out, and an answer that tells nothing; and then it is there again."""
    Odd.fails.add(trouble)
    with pytest.raises(StoreError) as info:
        odd.load("churn")
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=odd)
    client = Client(gate.wsgi)
    answer = client.post("/simple/churn", json=ROW)
    Odd.fails.clear()
    for cache in (gate.cache, gate._described):
        cache._failures.clear()
    again = client.post("/simple/churn", json=ROW)

    assert "secret" not in str(info.value)
    assert (503, "1", 200) == (answer.status, answer.header("retry-after"), again.status)
    assert b"secret" not in answer.body


def test_a_storage_that_hangs_takes_few_threads(odd, monkeypatch):
    """However often it is asked; and it is asked again when it answers."""
    monkeypatch.setattr("modelgate.models.within._MOST", 3)
    odd._timeout = 0.01
    Odd.fails.add("hang ls")
    for _ in range(10):
        with pytest.raises(StoreError):
            odd.mark("churn")
    threads = list(odd._running)
    Odd.fails.clear()
    Odd.hangs.set()
    for thread in threads:
        thread.join(30)
    odd._timeout = 30

    assert 3 == len(threads)
    assert odd.mark("churn")


@pytest.mark.parametrize("trouble", ["open", "read"])
def test_a_storage_that_fails_while_a_package_is_described(odd, trouble):
    """Is no fault of the package."""
    Odd.fails.add(trouble)
    with pytest.raises(StoreError):
        odd.describe("churn")


def test_a_package_is_described_without_its_model(odd, monkeypatch):
    """No file is fetched whole for it."""

    assert ("x0", "x1") == odd.describe("churn").schema.names
    assert "cat" not in Odd.read


def test_a_file_that_is_gone_meanwhile(memory, monkeypatch):
    """Is not found, and no fault of the storage."""
    store = FsspecStore(memory)
    store.save(package())
    listed = store._listed()
    MemoryFileSystem.store.clear()
    monkeypatch.setattr(store, "_listed", lambda: listed)
    for method in (store.load, store.describe):
        with pytest.raises(NotFound):
            method("churn")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_asks_by_itself(tmp_path):
    """A store used before a fork answers in the child too."""
    store = FsspecStore(f"file://{tmp_path}")
    store.save(package())
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=lambda: told.put(store.load("churn").manifest.name))
    child.start()
    child.join(60)

    assert (0, "churn") == (child.exitcode, told.get())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nope://me:s3cret@bucket", "ValueError"),
        (3, "url, storage_options: accepts"),
        ("hdfs3cret", None),
    ],
)
def test_a_url_that_cannot_work(url, told, tmp_path, monkeypatch):
    """Is refused without showing it; a path alone is one of this machine."""
    monkeypatch.chdir(tmp_path)
    if told is None:
        assert str(tmp_path) in FsspecStore(url)._folder
        return
    with pytest.raises(ConfigurationError, match=told) as info:
        FsspecStore(url)

    assert "s3cret" not in str(info.value)


def test_packages_that_are_missing(memory, monkeypatch):
    """fsspec's own, and that of a kind of storage: each is named."""
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(ConfigurationError, match="Install adlfs"):
        FsspecStore("abfs://bucket/models")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[fsspec\]"'):
        FsspecStore(memory)


@pytest.mark.parametrize("timeout", [0, -1, "1", None, float("nan")])
def test_a_timeout_that_cannot_work(memory, timeout):
    """Is named."""
    with pytest.raises(ConfigurationError, match="timeout="):
        FsspecStore(memory, timeout=timeout)


def test_options_of_the_storage():
    """Are handed on."""
    with pytest.raises(ConfigurationError, match="TypeError"):
        FsspecStore("memory://x", storage_options=3)


def test_what_the_store_would_not_load_is_not_saved(memory):
    """With its key it signs; with public keys it needs the private one."""
    FsspecStore(memory, key=KEY).save(package())

    assert "1" == FsspecStore(memory, key=KEY).load("churn").manifest.version
    with pytest.raises(ConfigurationError, match="not signed"):
        FsspecStore(memory, public_keys=["A" * 43 + "="]).save(package(version="2"))
    assert "churn@1" == FsspecStore(memory).version("churn")
