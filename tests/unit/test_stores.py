"""Behaviour shared by all file stores, and details of `FsspecStore`."""

import contextlib
import functools
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

from modelgate import (
    ConfigurationError,
    Deployment,
    FolderStore,
    Gate,
    ModelPackage,
    NotFound,
    StoreError,
)
from modelgate.models import FsspecStore, RedisCachedStore, SqlModelStore
from modelgate.testing import Client
from support.marks import slow
from support.waiting import SOON, wait_until

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
MODEL = LogisticRegression().fit(ROWS, YES)
ROW = {"x0": 1, "x1": 2}

folders = map("folder{}".format, itertools.count())


@functools.cache
def package(name="churn", version="1", **options):
    return ModelPackage.from_estimator(MODEL, ROWS, name=name, version=version, **options)


class Folder:
    """Creates `FolderStore`s over one folder, and writes packages and other files to it."""

    def __init__(self, path):
        self._path = path
        path.mkdir()

    def store(self, **options):
        return FolderStore(self._path, **options)

    def put(self, package, *, sign_key=None):
        manifest = package.manifest
        return package.save(self._path / f"{manifest.name}@{manifest.version}.mgpkg", sign_key=sign_key)

    def alias(self, name, alias, version):
        link = self._path / f"{name}@{alias}.mgpkg"
        link.unlink(missing_ok=True)
        link.symlink_to(f"{name}@{version}.mgpkg")

    def bare(self, content):
        (self._path / "bare.skops").write_bytes(content)

    def copy(self, name, other):
        (self._path / f"{other}.mgpkg").write_bytes((self._path / f"{name}.mgpkg").read_bytes())


class Fsspec:
    """Does the same with `FsspecStore`."""

    def __init__(self, url):
        self._url = url

    def store(self, **options):
        return FsspecStore(self._url, **options)

    def put(self, package, *, sign_key=None):
        return self.store().save(package, sign_key=sign_key)

    def alias(self, *args):
        self.store().alias(*args)

    def bare(self, content):
        fs, folder = fsspec.core.url_to_fs(self._url)
        fs.pipe_file(f"{folder}/bare.skops", content)

    def copy(self, name, other):
        fs, folder = fsspec.core.url_to_fs(self._url)
        fs.pipe_file(f"{folder}/{other}.mgpkg", fs.cat_file(f"{folder}/{name}.mgpkg"))


class Sql:
    """Does the same with `SqlModelStore`."""

    def __init__(self, url, stack):
        self._url, self._stack = url, stack

    def store(self, **options):
        return self._stack.enter_context(contextlib.closing(SqlModelStore(self._url, **options)))

    def put(self, package, *, sign_key=None):
        return self.store().save(package, sign_key=sign_key).sha256

    def alias(self, *args):
        self.store().alias(*args)


@pytest.fixture
def memory():
    """Folder in fsspec's memory file system, removed afterwards."""
    name = next(folders)
    yield f"memory://{name}/models"
    MemoryFileSystem.store.clear()


@pytest.fixture(params=["folder", "local", "memory", "sql"])
def storage(request, tmp_path):
    """Storage of each kind."""
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


def test_store_round_trip(storage):
    """Also by way of the stored bytes."""
    digest = storage.put(package(threshold=0.3))
    store = storage.store()
    loaded, described = store.load("churn@1"), store.describe("churn@1")
    file = store.read_file("churn@1")
    opened = store.load_file("churn", file)

    assert np.array_equal(MODEL.predict_proba(ROWS), loaded.model.predict_proba(ROWS))
    assert (digest, "churn", "1", 0.3) == (
        loaded.sha256,
        loaded.manifest.name,
        loaded.manifest.version,
        loaded.manifest.threshold,
    )
    assert (loaded.manifest, loaded.schema.columns) == (described.manifest, described.schema.columns)
    assert ("churn@1", ".mgpkg", digest) == (
        file.name,
        file.suffix,
        hashlib.sha256(file.content).hexdigest(),
    )
    assert (digest, loaded.manifest) == (opened.sha256, opened.manifest)


@pytest.mark.slow
def test_store_resolves_versions_and_aliases(storage):
    for version in ("1.2", "1.10", "1.9", "1.10rc1"):
        storage.put(package(version=version))
    storage.put(package("price"))
    storage.alias("churn", "production", "1.9")
    store = storage.store()
    names = ("churn", "churn@latest", "churn@1.2", "churn@production", "price")
    meant = [store.version(name) for name in names]
    loaded = [store.load(name).manifest.version for name in names]
    storage.alias("churn", "production", "1.2")

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


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["none", "churn@2", "churn@none", HOSTILE[0], *slow(*HOSTILE[1:])], ids=ascii
)
def test_store_raises_not_found(storage, name):
    storage.put(package())
    store = storage.store()
    for method in (store.load, store.describe, store.version):
        with pytest.raises(NotFound):
            method(name)


def test_store_checks_pins(storage):
    """An alias has the pin of its version."""
    digest = storage.put(package())
    storage.alias("churn", "production", "1")
    pinned, right = storage.store(sha256={"churn@1": "0" * 64}), storage.store(sha256={"churn@1": digest})

    assert "churn" == right.load("churn@1").manifest.name
    for act in (
        lambda: storage.store().load("churn", sha256="0" * 64),
        lambda: pinned.load("churn"),
        lambda: pinned.load("churn@1"),
    ):
        with pytest.raises(ConfigurationError, match="digest"):
            act()


def test_store_requires_signatures(storage, key_pair):
    storage.put(package(), sign_key=key_pair.private)
    storage.put(package("fraud"))
    store = storage.store(public_keys=[key_pair.public])

    assert ("1", "1") == (store.load("churn").manifest.version, store.describe("churn").manifest.version)
    for method in (store.load, store.describe):
        with pytest.raises(ConfigurationError, match="not signed"):
            method("fraud")


@pytest.mark.slow
def test_store_rejects_a_misplaced_signed_package(storage, key_pair):
    """Of another model or version, even if it is the newest."""
    if not hasattr(storage, "copy"):
        return
    storage.put(package(), sign_key=key_pair.private)
    storage.put(package("faulty", "7"), sign_key=key_pair.private)
    for other in ("price@1", "price", "churn@9", "faulty@production"):
        storage.copy("churn@1", other)
    store = storage.store(public_keys=[key_pair.public])
    acts = [store.load, store.describe, *([store.check] if hasattr(store, "check") else [])]
    for name in ("price", "price@1", "churn", "churn@9", "churn@latest", "faulty@production"):
        for act in acts:
            with pytest.raises(ConfigurationError, match="contains the package churn@1"):
                act(name)
    with pytest.raises(ConfigurationError, match="contains the package churn@1"):
        store.parse_metadata("churn@9", store.read_file("churn@9").content)
    with pytest.raises(ConfigurationError, match="contains the package churn@1"):
        store.load_file("churn@9", store.read_file("churn@9"))

    assert ("1", "1") == (
        store.load("churn@1").manifest.version,
        storage.store().load("churn@9").manifest.version,
    )


def test_store_needs_permission_and_pin_for_a_pickle(storage):
    digest = storage.put(package(format="joblib"))
    for options, pin in (({}, digest), ({"allow_pickle": True}, None)):
        with pytest.raises(ConfigurationError, match="contains a pickle"):
            storage.store(**options).load("churn", sha256=pin)

    assert ["no", "yes"] == storage.store(allow_pickle=True).load(
        "churn", sha256=digest
    ).model.classes_.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_gate_serves_from_each_store(storage, interface):
    """An invalid row loads no model; a reload resolves the latest version again."""
    storage.put(package(threshold=0.999))
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=storage.store())
    client = Client(getattr(gate, interface))
    faulty = client.post("/simple/churn", json={"x0": 1})
    cold = gate.deployments.cache.cache_info().misses
    first = client.post("/simple/churn", json=ROW).json()
    storage.put(package(version="2", threshold=0.001))
    gate.deployments.reload("churn")
    second = client.post("/simple/churn", json=ROW).json()

    assert (400, ["x1"], 0) == (faulty.status, faulty.json()["missing_columns"], cold)
    assert ("no", "yes") == (first["prediction"], second["prediction"])


def test_redis_cache_in_front_of_each_store(storage, redis_server):
    storage.put(package())
    scope = next(folders)
    for _ in range(2):
        store = RedisCachedStore(storage.store(), redis_server.uri, key=KEY, namespace=scope, timeout=SOON)
        assert "1" == store.load("churn").manifest.version
        store._workers._share.submit(lambda: None).result(SOON)

    assert store._get("model", "churn@1").startswith(b".mgpkg\n")


@pytest.fixture(params=["alone", "behind Redis"])
def make_watched(request, storage):
    """Creates stores over the same storage, with and without Redis in front."""
    if request.param == "alone":
        return storage.store
    uri, scope = request.getfixturevalue("redis_server").uri, next(folders)
    return lambda: RedisCachedStore(storage.store(), uri, key=KEY, namespace=scope, timeout=SOON)


@pytest.mark.slow
def test_fingerprints_identify_models(storage, make_watched):
    """They differ for other models, and are equal in all processes for the same one."""
    names = ("churn@1", "churn", "churn@latest", "churn@production")
    store = make_watched()

    def marks():
        fingerprints = [store.fingerprint(name) for name in names]
        assert fingerprints == [make_watched().fingerprint(name) for name in names]
        return fingerprints

    storage.put(package())
    storage.alias("churn", "production", "1")
    first = marks()
    store.load("churn")
    assert first == marks()
    storage.put(package(version="2"))
    second = marks()
    storage.alias("churn", "production", "2")
    third = marks()
    storage.alias("churn", "production", "1")

    assert [False, True, True, False] == [a != b for a, b in zip(first, second, strict=True)]
    assert [False, False, False, True] == [a != b for a, b in zip(second, third, strict=True)]
    assert second == marks()


def test_fingerprint_changes_when_a_file_is_replaced(storage, make_watched):
    """Even by one of the same size."""
    if not hasattr(storage, "bare"):
        return
    store, seen = make_watched(), set()
    for content in (b"one", b"two", b"three"):
        storage.bare(content)
        seen.add(store.fingerprint("bare"))

    assert 3 == len(seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", "churn@2", "churn@none", "", "../churn", "churn@*"])
def test_fingerprint_raises_not_found(storage, make_watched, name):
    storage.put(package())
    with pytest.raises(NotFound):
        make_watched().fingerprint(name)


@pytest.mark.slow
def test_gate_polls_each_store(storage, make_watched):
    storage.put(package())
    storage.alias("churn", "production", "1")
    deployments = [Deployment("newest", "store:churn"), Deployment("meant", "store:churn@production")]
    gate = Gate(deployments, keys="open", store=make_watched(), poll_interval=10_000)

    def versions():
        gate._poll_once()
        client = Client(gate.wsgi)
        answers = [client.post(f"/predict/{name}", json=ROW).json() for name in ("newest", "meant")]
        return [answer["model_version"] for answer in answers]

    seen = [versions()]
    storage.put(package(version="2"))
    seen.append(versions())
    storage.alias("churn", "production", "2")
    seen.append(versions())

    assert [["1", "1"], ["2", "1"], ["2", "2"]] == seen


# fsspec's own


def test_fingerprint_ignores_access_times(faulty, monkeypatch):
    read = itertools.count()
    ls = MemoryFileSystem.ls

    def list_files(*args, **options):
        times = dict.fromkeys(["time", "accessTime", "last_accessed_on"], next(read))
        return [{**entry, **times} for entry in ls(*args, **options)]

    monkeypatch.setattr(MemoryFileSystem, "ls", list_files)

    assert faulty.fingerprint("churn") == faulty.fingerprint("churn")


def test_fsspec_store_never_overwrites_a_version(memory):
    store = FsspecStore(memory)
    store.save(package())
    store.alias("churn", "production", "1")
    for version in ("1", "latest", "production"):
        with pytest.raises(ConfigurationError, match=f"version must not be .*'{version}'"):
            store.save(package(version=version))
    for alias in ("latest", "1", "a/b", ""):
        with pytest.raises(ConfigurationError, match="alias must"):
            store.alias("churn", alias, "1")
    for name, version in (("churn", "2"), ("none", "1"), ("churn", "../1")):
        with pytest.raises(NotFound):
            store.alias(name, "staging", version)


def test_fsspec_store_detects_concurrent_saves(memory, monkeypatch):
    store = FsspecStore(memory)
    store.save(package())
    monkeypatch.setattr(store, "_list", lambda fs: {})
    with pytest.raises(ConfigurationError, match=r"version must not be .*'1'"):
        store.save(package())


@pytest.mark.parametrize("content", [b"", b"2", b"../1", b"1" * 1000, b"\xff", b"production"])
def test_fsspec_store_rejects_invalid_aliases(memory, content):
    store = FsspecStore(memory)
    store.save(package())
    fs, folder = fsspec.core.url_to_fs(memory)
    fs.pipe_file(f"{folder}/churn@production.alias", content)
    with pytest.raises(NotFound):
        store.load("churn@production")


def test_fsspec_store_loads_bare_files_and_ignores_others(memory):
    import skops.io

    fs, folder = fsspec.core.url_to_fs(memory)
    fs.pipe_file(f"{folder}/churn@7.skops", skops.io.dumps(MODEL))
    fs.pipe_file(f"{folder}/notes.md", b"")
    fs.pipe_file(f"{folder}/sub.mgpkg/manifest.json", b"{}")
    store = FsspecStore(memory)

    assert np.array_equal(MODEL.predict(ROWS), store.load("churn").model.predict(ROWS))
    assert store.describe("churn") is None
    for name in ("notes", "sub"):
        with pytest.raises(NotFound):
            store.load(name)


class Odd(MemoryFileSystem):
    """File system that can fail or hang."""

    protocol = "faulty"
    cachable = True
    fails, hangs, read = set(), threading.Event(), []

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("faulty:", "memory:"))

    def _trouble(self, act):
        self.read.append(act)
        if act in self.fails:
            raise OSError("the bucket's own secret")
        if f"hang {act}" in self.fails:
            self.hangs.wait(SOON)

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
def faulty(memory):
    fsspec.register_implementation("faulty", Odd, clobber=True)
    FsspecStore(memory).save(package())
    yield FsspecStore(memory.replace("memory:", "faulty:"), timeout=0.2)
    Odd.hangs.set()
    Odd.fails.clear()
    Odd.read.clear()
    Odd.hangs = threading.Event()


@pytest.mark.parametrize("trouble", ["ls", "cat", "hang ls", "hang cat"])
def test_fsspec_store_raises_store_error_on_failures_and_timeouts(faulty, monkeypatch, trouble):
    """The answer shows no details; the store works again afterwards."""
    monkeypatch.setattr("modelgate.models.cache._FAILURE_TTL", 1e-6)
    Odd.fails.add(trouble)
    with pytest.raises(StoreError) as info:
        faulty.load("churn")
    gate = Gate([Deployment("churn", "store:churn")], keys="open", store=faulty)
    client = Client(gate.wsgi)
    answer = client.post("/simple/churn", json=ROW)
    Odd.fails.clear()
    again = client.post("/simple/churn", json=ROW)

    assert "secret" not in str(info.value)
    assert (503, "1", 200) == (answer.status, answer.header("retry-after"), again.status)
    assert b"secret" not in answer.body


def test_fsspec_store_limits_stuck_threads(faulty, memory, monkeypatch):
    monkeypatch.setattr("modelgate.models.fsspec._MAX_CALLS", 3)
    store = FsspecStore(memory.replace("memory:", "faulty:"), timeout=0.01)
    Odd.fails.add("hang ls")
    for _ in range(20):
        with pytest.raises(StoreError):
            store.fingerprint("churn")
    calls = store._threads.running + store._threads.stuck
    Odd.fails.clear()
    Odd.hangs.set()
    wait_until(lambda: not (store._threads.running or store._threads.stuck))
    store._timeout = SOON

    # As many as may be stuck, and as many that have just been abandoned and are not stuck yet.
    assert 3 <= calls <= 6
    assert store.fingerprint("churn")


@pytest.mark.parametrize("trouble", ["open", "read"])
def test_describe_raises_store_error_on_storage_failure(faulty, trouble):
    Odd.fails.add(trouble)
    with pytest.raises(StoreError):
        faulty.describe("churn")


def test_describe_reads_only_part_of_the_file(faulty, monkeypatch):
    assert ("x0", "x1") == faulty.describe("churn").schema.names
    assert "cat" not in Odd.read


def test_fsspec_store_raises_not_found_for_a_deleted_file(memory, monkeypatch):
    store = FsspecStore(memory)
    store.save(package())
    listed = store._list_files()
    MemoryFileSystem.store.clear()
    monkeypatch.setattr(store, "_list_files", lambda: listed)
    for method in (store.load, store.describe):
        with pytest.raises(NotFound):
            method("churn")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fsspec_store_works_after_a_fork(tmp_path):
    store = FsspecStore(f"file://{tmp_path}")
    store.save(package())
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=lambda: results.put(store.load("churn").manifest.name))
    child.start()
    child.join(SOON)

    assert (0, "churn") == (child.exitcode, results.get())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nope://me:s3cret@bucket", "ValueError"),
        (3, "url and storage_options must be valid"),
        ("hdfs3cret", None),
    ],
)
def test_fsspec_store_rejects_invalid_urls(url, message, tmp_path, monkeypatch):
    """Without showing them, as they may contain a password."""
    monkeypatch.chdir(tmp_path)
    if message is None:
        assert str(tmp_path) in FsspecStore(url)._folder
        return
    with pytest.raises(ConfigurationError, match=message) as info:
        FsspecStore(url)

    assert "s3cret" not in str(info.value)


def test_fsspec_store_names_missing_packages(memory, monkeypatch):
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(ConfigurationError, match="Install adlfs"):
        FsspecStore("abfs://bucket/models")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[fsspec\]"'):
        FsspecStore(memory)


@pytest.mark.parametrize("timeout", [0, -1, "1", None, float("nan")])
def test_fsspec_store_rejects_invalid_timeouts(memory, timeout):
    with pytest.raises(ConfigurationError, match="timeout must"):
        FsspecStore(memory, timeout=timeout)


def test_fsspec_store_passes_storage_options():
    with pytest.raises(ConfigurationError, match="TypeError"):
        FsspecStore("memory://x", storage_options=3)


def test_fsspec_store_does_not_save_what_it_would_not_load(memory, key_pair):
    store = FsspecStore(memory, public_keys=[key_pair.public])
    store.save(package(), sign_key=key_pair.private)

    assert "1" == store.load("churn").manifest.version
    with pytest.raises(ConfigurationError, match="not signed"):
        store.save(package(version="2"))
    assert "churn@1" == FsspecStore(memory).version("churn")
