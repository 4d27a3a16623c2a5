"""Packages signed with a private key, and checked with a public one."""

import base64
import contextlib
import sys

import click.testing
import numpy as np
import pytest
import skops.io
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from modelgate import ConfigurationError, Deployment, FolderStore, Gate, MemoryStore, ModelPackage
from modelgate.cli.root import cli
from modelgate.models import SharedStore, SqlModelStore
from modelgate.models.archive import FolderArchive
from modelgate.models.ed25519 import sign, signer_of
from modelgate.testing import Client

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
MODEL = LogisticRegression().fit(ROWS, np.where(ROWS[:, 0] > 0, "yes", "no"))
PACKAGE = ModelPackage.from_estimator(MODEL, ROWS, name="churn")
ROW = {"x0": 1, "x1": 2}
PEM, PLAIN = serialization.Encoding.PEM, serialization.NoEncryption()


def write(folder, name, private, encryption=PLAIN):
    """The files of a pair of keys."""
    paths = folder / f"{name}.pem", folder / f"{name}.pub"
    paths[0].write_bytes(private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption))
    public = private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths[1].write_bytes(public)
    return paths


@pytest.fixture(scope="module")
def maria(tmp_path_factory):
    return write(tmp_path_factory.mktemp("keys"), "maria", ed25519.Ed25519PrivateKey.generate())


@pytest.fixture(scope="module")
def otto(tmp_path_factory):
    return write(tmp_path_factory.mktemp("keys"), "otto", ed25519.Ed25519PrivateKey.generate())


@pytest.fixture
def path(tmp_path, maria):
    PACKAGE.save(tmp_path / "churn.mgpkg", sign_key=maria[0])
    return tmp_path / "churn.mgpkg"


def in_base64(public):
    key = serialization.load_pem_public_key(public.read_bytes())
    return base64.b64encode(key.public_bytes_raw()).decode()


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_whose_key_it_was(tmp_path, maria, otto, folder):
    """One of the keys given must be the signer's: a file, its path as text, or base64."""
    path = tmp_path / "signed.mgpkg"
    PACKAGE.save(path, sign_key=maria[0], folder=folder)
    for keys in ([maria[1]], [str(maria[1])], (otto[1], in_base64(maria[1])), None):
        assert "churn" == ModelPackage.load(path, public_keys=keys).manifest.name
    with pytest.raises(ConfigurationError, match="is none of these public keys") as info:
        ModelPackage.load(path, public_keys=[otto[1]])

    assert in_base64(maria[1]) in str(info.value)


def test_both_signatures(tmp_path, maria):
    """A secret and a public key are asked for apart, and together both must be good."""
    path = tmp_path / "both.mgpkg"
    PACKAGE.save(path, key=KEY, sign_key=maria[0])
    ModelPackage.load(path, key=KEY, public_keys=[maria[1]])
    PACKAGE.save(path, key=KEY)
    with pytest.raises(ConfigurationError, match="not signed"):
        ModelPackage.load(path, key=KEY, public_keys=[maria[1]])
    PACKAGE.save(path, sign_key=maria[0])
    with pytest.raises(ConfigurationError, match="not signed"):
        ModelPackage.load(path, key=KEY, public_keys=[maria[1]])


def test_a_bare_file_is_not_signed(tmp_path, maria):
    """So it is refused where that is asked for."""
    skops.io.dump(MODEL, tmp_path / "m.skops")
    with pytest.raises(ConfigurationError, match="not signed"):
        ModelPackage.load(tmp_path / "m.skops", public_keys=[maria[1]])


def test_a_signature_of_another_package(tmp_path, maria):
    """Is good for nothing but its own manifest."""
    other = ModelPackage.from_estimator(MODEL, ROWS, name="fraud")
    for name, package in (("one", PACKAGE), ("other", other)):
        package.save(tmp_path / f"{name}.mgpkg", sign_key=maria[0], folder=True)
    (tmp_path / "other.mgpkg" / "signature.ed25519").replace(tmp_path / "one.mgpkg" / "signature.ed25519")
    with pytest.raises(ConfigurationError, match="not one of its manifest"):
        ModelPackage.load(tmp_path / "one.mgpkg", public_keys=[maria[1]])


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=150), st.tuples(st.integers(0, 132), st.integers(0, 255))))
def test_any_other_signature(maria, change):
    """Any bytes but those that were made are refused as the package's fault."""
    good = sign(b"manifest", maria[0])
    other = change
    if isinstance(change, tuple):
        other = good[: change[0]] + bytes([change[1]]) + good[change[0] + 1 :]
    if other in (good, good[:-1]):
        assert in_base64(maria[1]) == signer_of(b"manifest", other)
    else:
        with pytest.raises(ConfigurationError, match="Ed25519 signature"):
            signer_of(b"manifest", other)


# Keys


def private_keys(folder):
    """Files that hold no Ed25519 private key that could be used."""
    locked = serialization.BestAvailableEncryption(b"s3cret")
    yield write(folder, "locked", ed25519.Ed25519PrivateKey.generate(), locked)[0]
    curve, public = write(folder, "curve", ec.generate_private_key(ec.SECP256R1()))
    yield from (curve, public, folder / "none.pem", folder)
    (folder / "text.pem").write_text("s3cret")
    yield folder / "text.pem"


def test_private_keys_that_cannot_work(tmp_path, maria):
    """Another kind, one with a password, no key at all: refused before anything is written, and not shown."""
    (tmp_path / "keys").mkdir()
    for key in (*private_keys(tmp_path / "keys"), maria[1], b"", 16):
        with pytest.raises(ConfigurationError, match=r"^sign_key: ") as info:
            PACKAGE.save(tmp_path / "m.mgpkg", sign_key=key)
        assert "s3cret" not in str(info.value)

    assert not (tmp_path / "m.mgpkg").exists()


def test_public_keys_that_cannot_work(tmp_path, path, maria):
    """An empty list would ask for nothing."""
    for keys in ([], str(maria[1]), maria[1], 16, [maria[0]], [tmp_path / "none"], [b"A" * 32], ["A" * 44]):
        for act in (
            lambda keys=keys: ModelPackage.load(path, public_keys=keys),
            lambda keys=keys: FolderStore(tmp_path, public_keys=keys),
            lambda keys=keys: Gate(keys="open", public_keys=keys),
        ):
            with pytest.raises(ConfigurationError, match="public_keys: "):
                act()


def test_without_the_extra_it_is_named(path, maria, monkeypatch):
    """In one line; and nothing else asks for it."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    for act in (
        lambda: PACKAGE.save(path, sign_key=maria[0]),
        lambda: ModelPackage.load(path, public_keys=[maria[1]]),
    ):
        with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[ed25519\]"'):
            act()

    assert "churn" == ModelPackage.load(path).manifest.name


# Stores and gates


def test_a_folder(tmp_path, path, maria, otto):
    """Gives out what is signed, under the name it was signed with."""
    store = FolderStore(tmp_path, public_keys=[maria[1]])
    path.with_name("fraud.mgpkg").write_bytes(path.read_bytes())
    PACKAGE.save(tmp_path / "churn@2.mgpkg", sign_key=otto[0])

    assert ("churn", "churn") == (store.load("churn").manifest.name, store.describe("churn").manifest.name)
    for name, told in (("fraud", "holds the package churn@"), ("churn@2", "none of these")):
        with pytest.raises(ConfigurationError, match=told):
            store.load(name)


def test_a_database(tmp_path, maria, otto):
    """Takes nothing that it would not give out."""
    with contextlib.closing(SqlModelStore(f"sqlite:///{tmp_path}/m.db", public_keys=[maria[1]])) as store:
        for key in (None, otto[0]):
            with pytest.raises(ConfigurationError, match="signed"):
                store.save(PACKAGE, sign_key=key)
        assert [] == store.list()
        store.save(PACKAGE, sign_key=maria[0])

        assert ("churn", "1") == (store.load("churn").manifest.name, store.describe("churn").manifest.version)


@pytest.mark.parametrize("stored", [False, True], ids=["file", "folder"])
def test_a_gate(tmp_path, path, maria, otto, stored):
    """Refuses to start with what is not signed, and does not load what takes its place later."""
    deployment = Deployment("churn", "store:churn" if stored else path)
    options = {"keys": "open", "store": tmp_path if stored else None}
    with pytest.raises(ConfigurationError, match="none of these public keys"):
        Gate([deployment], public_keys=[otto[1]], **options)
    gates = [Gate([deployment], public_keys=[maria[1]], **options) for _ in range(2)]
    before = Client(gates[0].wsgi).post("/simple/churn", json=ROW)
    PACKAGE.save(path)
    after = Client(gates[1].asgi).post("/simple/churn", json=ROW)

    assert [200, 503] == [before.status, after.status]


@pytest.mark.parametrize("form", ["file", "link", "package folder"])
def test_a_file_that_is_named_after_another_version(tmp_path, path, maria, form):
    """Is refused by a gate that has keys: also where a link to it is named otherwise."""
    named = tmp_path / "churn@2.mgpkg"
    if form == "package folder":
        PACKAGE.save(named, sign_key=maria[0], folder=True)
    else:
        path.rename(named)
    if form == "link":
        path.symlink_to(named)
        named = path
    with pytest.raises(ConfigurationError, match="holds the package churn@1"):
        Gate([Deployment("churn", named)], keys="open", public_keys=[maria[1]])
    with pytest.raises(ConfigurationError, match="holds the package churn@1"):
        ModelPackage.load(named, public_keys=[maria[1]])

    assert "churn" == ModelPackage.load(named).manifest.name


def test_a_store_that_asks_for_nothing(tmp_path, path, maria):
    """Is no store for a gate that does."""
    signing, open_ = FolderStore(tmp_path, public_keys=[maria[1]]), FolderStore(tmp_path)
    shared = [SharedStore(store, "redis://nowhere.invalid", key=KEY) for store in (signing, open_)]
    for store in (signing, shared[0]):
        Gate(keys="open", public_keys=[maria[1]], store=store)
    for store in (open_, shared[1], MemoryStore({})):
        with pytest.raises(ConfigurationError, match="give it keys too"):
            Gate(keys="open", public_keys=[maria[1]], store=store)


# From the command line


def run(*arguments, code=0):
    done = click.testing.CliRunner().invoke(cli, list(map(str, arguments)))

    assert code == done.exit_code, done.output
    return done


def test_packed_and_inspected(tmp_path, maria, otto):
    """It is signed with a file, and told by whom."""
    skops.io.dump(MODEL, tmp_path / "churn.skops")
    (tmp_path / "rows.csv").write_text("x0,x1\n1,2\n")
    run("pack", tmp_path / "churn.skops", "--sample", tmp_path / "rows.csv", "--sign-key", maria[0])
    path = tmp_path / "churn.mgpkg"
    shown = run("inspect", path).stdout
    checked = run("inspect", path, "--public-key", otto[1], "--public-key", maria[1]).stdout
    refused = run("inspect", path, "--public-key", otto[1], code=2)

    assert f"package    churn 1  signed by Ed25519 key {in_base64(maria[1])}\n" in shown
    assert shown == checked
    assert "none of these public keys" in refused.stderr
    assert f'"signer": "{in_base64(maria[1])}"' in run("inspect", path, "--json").stdout


def test_a_signature_that_is_none_is_told(tmp_path, maria):
    """Though nobody asked for one."""
    PACKAGE.save(tmp_path / "m.mgpkg", key=KEY, sign_key=maria[0], folder=True)
    shown = run("inspect", tmp_path / "m.mgpkg").stdout
    (tmp_path / "m.mgpkg" / "signature.ed25519").write_bytes(b"maria")
    archive = FolderArchive(tmp_path / "m.mgpkg")
    wrong = run("inspect", tmp_path / "m.mgpkg").stdout

    assert "churn 1  signed, signed by Ed25519 key" in shown
    assert {"signature", "signature.ed25519"} <= archive.names
    assert "churn 1  signed\n" in wrong
    assert "warning    its Ed25519 signature is none" in wrong
