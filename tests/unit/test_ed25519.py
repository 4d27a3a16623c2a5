"""Signed packages."""

import base64
import contextlib
import sys

import click.testing
import numpy as np
import pytest
import skops.io
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from modelgate import ConfigurationError, Deployment, FolderStore, Gate, MemoryStore, ModelPackage
from modelgate.cli.root import cli
from modelgate.models import RedisCachedStore, SqlModelStore
from modelgate.models.archive import pack
from modelgate.models.ed25519 import sign, signer_of
from modelgate.testing import Client
from support.marks import examples
from support.signing import write_key_pair
from support.tampering import read_members, rewrite_package

KEY = "a-secret-that-is-kept-elsewhere"
ROWS = np.random.default_rng(0).normal(size=(60, 2))
MODEL = LogisticRegression().fit(ROWS, np.where(ROWS[:, 0] > 0, "yes", "no"))
PACKAGE = ModelPackage.from_estimator(MODEL, ROWS, name="churn")
ROW = {"x0": 1, "x1": 2}


@pytest.fixture(scope="module")
def maria(tmp_path_factory):
    return write_key_pair(tmp_path_factory.mktemp("keys"), "maria")


@pytest.fixture(scope="module")
def otto(tmp_path_factory):
    return write_key_pair(tmp_path_factory.mktemp("keys"), "otto")


@pytest.fixture
def path(tmp_path, maria):
    PACKAGE.save(tmp_path / "churn.mgpkg", sign_key=maria.private)
    return tmp_path / "churn.mgpkg"


def to_base64(public):
    key = serialization.load_pem_public_key(public.read_bytes())
    return base64.b64encode(key.public_bytes_raw()).decode()


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_signature_is_verified_with_the_public_keys(tmp_path, maria, otto, folder):
    """Given as a file, its path as text, or base64."""
    path = tmp_path / "churn.mgpkg"
    PACKAGE.save(path, sign_key=maria.private, folder=folder)
    for keys in ([maria.public], [str(maria.public)], (otto.public, to_base64(maria.public)), None):
        assert "churn" == ModelPackage.load(path, public_keys=keys).manifest.name
    with pytest.raises(ConfigurationError, match="is not one of public_keys") as info:
        ModelPackage.load(path, public_keys=[otto.public])

    assert to_base64(maria.public) in str(info.value)


def test_unsigned_package_is_rejected_with_public_keys(tmp_path, maria):
    path = tmp_path / "churn.mgpkg"
    PACKAGE.save(path)
    with pytest.raises(ConfigurationError, match="not signed"):
        ModelPackage.load(path, public_keys=[maria.public])

    assert "churn" == ModelPackage.load(path).manifest.name


def test_changed_manifest_is_rejected_until_signed_again(path, maria, otto):
    signature = read_members(path)["signature.ed25519"]
    rewrite_package(path, manifest_json=lambda it: it.update(target="churned"))
    members = read_members(path)
    path.write_bytes(pack({**members, "signature.ed25519": signature}))
    with pytest.raises(ConfigurationError, match="does not match the manifest"):
        ModelPackage.load(path, public_keys=[maria.public])
    path.write_bytes(pack(members))
    rewrite_package(path, sign_key=otto.private)
    with pytest.raises(ConfigurationError, match="not one of public_keys"):
        ModelPackage.load(path, public_keys=[maria.public])
    rewrite_package(path, sign_key=maria.private, manifest_json=lambda it: it.update(target="churned"))

    assert "churned" == ModelPackage.load(path, public_keys=[maria.public]).manifest.target


def test_bare_file_is_rejected_with_public_keys(tmp_path, maria):
    skops.io.dump(MODEL, tmp_path / "m.skops")
    with pytest.raises(ConfigurationError, match="not signed"):
        ModelPackage.load(tmp_path / "m.skops", public_keys=[maria.public])


def test_signature_of_another_package_is_rejected(tmp_path, maria):
    other = ModelPackage.from_estimator(MODEL, ROWS, name="fraud")
    for name, package in (("one", PACKAGE), ("other", other)):
        package.save(tmp_path / f"{name}.mgpkg", sign_key=maria.private, folder=True)
    (tmp_path / "other.mgpkg" / "signature.ed25519").replace(tmp_path / "one.mgpkg" / "signature.ed25519")
    with pytest.raises(ConfigurationError, match="does not match the manifest"):
        ModelPackage.load(tmp_path / "one.mgpkg", public_keys=[maria.public])


@examples(2)
@given(st.one_of(st.binary(max_size=150), st.tuples(st.integers(0, 132), st.integers(0, 255))))
def test_any_other_signature_is_rejected(maria, change):
    good = sign(b"manifest", maria.private)
    other = change
    if isinstance(change, tuple):
        other = good[: change[0]] + bytes([change[1]]) + good[change[0] + 1 :]
    if other in (good, good[:-1]):
        assert to_base64(maria.public) == signer_of(b"manifest", other)
    else:
        with pytest.raises(ConfigurationError, match="Ed25519 signature"):
            signer_of(b"manifest", other)


# Keys


def unusable_private_keys(folder):
    """Yield files without a usable Ed25519 private key."""
    locked = serialization.BestAvailableEncryption(b"s3cret")
    yield write_key_pair(folder, "locked", encryption=locked).private
    curve, public = write_key_pair(folder, "curve", ec.generate_private_key(ec.SECP256R1()))
    yield from (curve, public, folder / "none.pem", folder)
    (folder / "text.pem").write_text("s3cret")
    yield folder / "text.pem"


def test_sign_key_rejects_other_keys(tmp_path, maria):
    """Before anything is written, and without showing the key."""
    (tmp_path / "keys").mkdir()
    for key in (*unusable_private_keys(tmp_path / "keys"), maria.public, b"", 16):
        with pytest.raises(ConfigurationError, match=r"^sign_key") as info:
            PACKAGE.save(tmp_path / "m.mgpkg", sign_key=key)
        assert "s3cret" not in str(info.value)

    assert not (tmp_path / "m.mgpkg").exists()


def test_public_keys_reject_other_values(tmp_path, path, maria):
    """An empty list would require nothing."""
    for keys in (
        [],
        str(maria.public),
        maria.public,
        16,
        [maria.private],
        [tmp_path / "none"],
        [b"A" * 32],
        ["A" * 44],
    ):
        for act in (
            lambda keys=keys: ModelPackage.load(path, public_keys=keys),
            lambda keys=keys: FolderStore(tmp_path, public_keys=keys),
            lambda keys=keys: Gate(keys="open", public_keys=keys),
        ):
            with pytest.raises(ConfigurationError, match="public_keys"):
                act()


def test_signing_names_the_missing_extra(path, maria, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    for act in (
        lambda: PACKAGE.save(path, sign_key=maria.private),
        lambda: ModelPackage.load(path, public_keys=[maria.public]),
    ):
        with pytest.raises(ConfigurationError, match=r'pip install "modelgate\[ed25519\]"'):
            act()

    assert "churn" == ModelPackage.load(path).manifest.name


# Stores and gates


def test_folder_store_checks_signatures_and_names(tmp_path, path, maria, otto):
    store = FolderStore(tmp_path, public_keys=[maria.public])
    path.with_name("fraud.mgpkg").write_bytes(path.read_bytes())
    PACKAGE.save(tmp_path / "churn@2.mgpkg", sign_key=otto.private)

    assert ("churn", "churn") == (store.load("churn").manifest.name, store.describe("churn").manifest.name)
    for name, message in (("fraud", "contains the package churn@"), ("churn@2", "not one of public_keys")):
        with pytest.raises(ConfigurationError, match=message):
            store.load(name)


def test_sql_store_saves_only_what_it_would_load(tmp_path, maria, otto):
    with contextlib.closing(SqlModelStore(f"sqlite:///{tmp_path}/m.db", public_keys=[maria.public])) as store:
        for key in (None, otto.private):
            with pytest.raises(ConfigurationError, match="signed"):
                store.save(PACKAGE, sign_key=key)
        assert [] == store.list()
        store.save(PACKAGE, sign_key=maria.private)

        assert ("churn", "1") == (store.load("churn").manifest.name, store.describe("churn").manifest.version)


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True], ids=["file", "folder"])
def test_gate_checks_signatures(tmp_path, path, maria, otto, stored):
    """At startup, and of files replaced later."""
    deployment = Deployment("churn", "store:churn" if stored else path)
    options = {"keys": "open", "store": tmp_path if stored else None}
    with pytest.raises(ConfigurationError, match="not one of public_keys"):
        Gate([deployment], public_keys=[otto.public], **options)
    gates = [Gate([deployment], public_keys=[maria.public], **options) for _ in range(2)]
    before = Client(gates[0].wsgi).post("/simple/churn", json=ROW)
    PACKAGE.save(path)
    after = Client(gates[1].asgi).post("/simple/churn", json=ROW)

    assert [200, 503] == [before.status, after.status]


@pytest.mark.parametrize("form", ["file", "link", "package folder"])
def test_signed_file_named_after_another_version_is_rejected(tmp_path, path, maria, form):
    """Even if a link to it has the right name."""
    named = tmp_path / "churn@2.mgpkg"
    if form == "package folder":
        PACKAGE.save(named, sign_key=maria.private, folder=True)
    else:
        path.rename(named)
    if form == "link":
        path.symlink_to(named)
        named = path
    with pytest.raises(ConfigurationError, match="contains the package churn@1"):
        Gate([Deployment("churn", named)], keys="open", public_keys=[maria.public])
    with pytest.raises(ConfigurationError, match="contains the package churn@1"):
        ModelPackage.load(named, public_keys=[maria.public])

    assert "churn" == ModelPackage.load(named).manifest.name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fraud.mgpkg", "fraud@1.mgpkg", "churn-old.mgpkg"])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_signed_file_named_after_another_model_is_rejected(tmp_path, maria, name, folder):
    PACKAGE.save(tmp_path / name, sign_key=maria.private, folder=folder)
    for act in (
        lambda: Gate([Deployment("fraud", tmp_path / name)], keys="open", public_keys=[maria.public]),
        lambda: ModelPackage.load(tmp_path / name, public_keys=[maria.public]),
    ):
        with pytest.raises(
            ConfigurationError, match=r"contains the package churn@1: name the file churn\.mgpkg"
        ):
            act()

    assert "churn" == ModelPackage.load(tmp_path / name).manifest.name


def test_signed_file_may_have_any_name_behind_a_link(tmp_path, path, maria):
    """For example one named by its content."""
    path.rename(tmp_path / "0123abcd.mgpkg")
    path.symlink_to(tmp_path / "0123abcd.mgpkg")

    assert "churn" == ModelPackage.load(path, public_keys=[maria.public]).manifest.name


def test_gate_with_public_keys_needs_a_store_with_public_keys(tmp_path, path, maria):
    signing, open_ = FolderStore(tmp_path, public_keys=[maria.public]), FolderStore(tmp_path)
    shared = [RedisCachedStore(store, "redis://nowhere.invalid", key=KEY) for store in (signing, open_)]
    for store in (signing, shared[0]):
        Gate(keys="open", public_keys=[maria.public], store=store)
    for store in (open_, shared[1], MemoryStore({})):
        with pytest.raises(ConfigurationError, match="pass public_keys to the store too"):
            Gate(keys="open", public_keys=[maria.public], store=store)


# From the command line


def run_cli(*arguments, code=0):
    done = click.testing.CliRunner().invoke(cli, list(map(str, arguments)))

    assert code == done.exit_code, done.output
    return done


def test_cli_signs_and_shows_the_signer(tmp_path, maria, otto):
    skops.io.dump(MODEL, tmp_path / "churn.skops")
    (tmp_path / "rows.csv").write_text("x0,x1\n1,2\n")
    run_cli("pack", tmp_path / "churn.skops", "--sample", tmp_path / "rows.csv", "--sign-key", maria.private)
    path = tmp_path / "churn.mgpkg"
    shown = run_cli("inspect", path).stdout
    checked = run_cli("inspect", path, "--public-key", otto.public, "--public-key", maria.public).stdout
    refused = run_cli("inspect", path, "--public-key", otto.public, code=2)

    assert f"package    churn 1  signed by Ed25519 key {to_base64(maria.public)}\n" in shown
    assert shown == checked
    assert "not one of public_keys" in refused.stderr
    assert f'"signer": "{to_base64(maria.public)}"' in run_cli("inspect", path, "--json").stdout


def test_inspect_warns_of_an_invalid_signature(tmp_path, maria):
    """Even without public keys."""
    PACKAGE.save(tmp_path / "m.mgpkg", sign_key=maria.private, folder=True)
    shown = run_cli("inspect", tmp_path / "m.mgpkg").stdout
    (tmp_path / "m.mgpkg" / "signature.ed25519").write_bytes(b"maria")
    wrong = run_cli("inspect", tmp_path / "m.mgpkg").stdout

    assert "churn 1  signed by Ed25519 key" in shown
    assert "churn 1  not signed\n" in wrong
    assert "warning    the Ed25519 signature is malformed: sign the package again" in wrong
