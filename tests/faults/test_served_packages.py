"""Served packages, and changes to their files."""

import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelgate import (
    ConfigurationError,
    Deployment,
    DeploymentUnavailable,
    FolderStore,
    Gate,
    ModelPackage,
    Schema,
)
from modelgate.models.package_files import read_package_metadata
from modelgate.testing import Client

ROWS = np.random.default_rng(0).normal(size=(100, 2))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
UNSURE = {"x0": -0.1, "x1": 0.0}


@pytest.fixture(scope="module")
def package():
    model = LogisticRegression().fit(ROWS, YES)
    return ModelPackage.from_estimator(
        model, ROWS, YES, name="churn", target="churned", positive_class="yes", threshold=0.01
    )


@pytest.fixture
def path(tmp_path, package):
    package.save(tmp_path / "churn.mgpkg")
    return tmp_path / "churn.mgpkg"


def ask(gate, name="churn", row=UNSURE, interface="wsgi"):
    return Client(getattr(gate, interface)).post(f"/simple/{name}", json=row)


MODELS = {
    "path": lambda path: (path, None),
    "text": lambda path: (str(path), None),
    "store": lambda path: ("store:churn", path.parent),
    "package": lambda path: (ModelPackage.load(path), None),
}


@pytest.mark.parametrize("way", MODELS)
def test_gate_uses_the_package_metadata(path, way):
    """Target, positive class and threshold."""
    model, store = MODELS[way](path)
    gate = Gate([Deployment("churn", model)], keys="open", store=store)
    output = gate.score("churn", UNSURE).outputs[0]
    fields = Client(gate.wsgi).get("/deployments/churn").json()

    assert ("churned", ["yes"], 0.01, 1) == (
        output.name,
        output.values.tolist(),
        output.threshold,
        output.positive,
    )
    assert [{"name": "churned", "classes": ["no", "yes"]}] == fields["output"]


def test_deployment_overrides_the_package_metadata(path):
    deployment = Deployment(
        "churn",
        path,
        target="left",
        positive_class="no",
        threshold=0.99,
        schema=Schema.of(x0=float, x1=float).with_options(extra_columns="forbid"),
    )
    gate = Gate([deployment], keys="open")
    output = gate.score("churn", UNSURE).outputs[0]

    assert ("left", ["yes"], 0.99, 0) == (
        output.name,
        output.values.tolist(),
        output.threshold,
        output.positive,
    )
    assert 400 == ask(gate, row={**UNSURE, "x2": 1}).status


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_invalid_row_loads_no_model(path, interface):
    """The schema is read without the model, and once only."""
    for model, store in (MODELS["path"](path), MODELS["store"](path)):
        gate = Gate([Deployment("churn", model)], keys="open", store=store)
        answers = [ask(gate, row={"x1": 1}, interface=interface)]
        # Not even one that is there.
        content = path.read_bytes()
        path.unlink()
        answers.append(ask(gate, row={"x1": 1}, interface=interface))
        path.write_bytes(content)

        assert [(400, ["x0"])] * 2 == [(a.status, a.json()["missing_columns"]) for a in answers]
        assert (0, 0) == gate.deployments.cache.cache_info()[:2]
        assert 200 == Client(gate.wsgi).get("/deployments/churn").status
        assert 0 == gate.deployments.cache.cache_info().currsize


def test_metadata_endpoint_loads_no_model(path):
    schema = Schema.of(x0=float, x1=float)
    gate = Gate([Deployment("churn", path, schema=schema)], keys="open")
    described = Client(gate.wsgi).get("/deployments/churn").json()

    assert [{"name": "churned", "classes": ["no", "yes"]}] == described["output"]
    assert 0 == gate.deployments.cache.cache_info().misses


def test_readiness_needs_a_loaded_model(path):
    gate = Gate([Deployment("churn", path)], keys="open")
    ask(gate, row={"x1": 1})
    content = path.read_bytes()
    index = content.index(b"coef_")
    path.write_bytes(content[:index] + b"C" + content[index + 1 :])
    early = Client(gate.wsgi).get("/health/ready").status
    path.write_bytes(content)
    gate.deployments.cache.cache_clear()

    assert (503, 200) == (early, Client(gate.wsgi).get("/health/ready").status)


def test_cache_bytes_count_package_sizes(tmp_path, package):
    """Sizes of bare files count too."""
    size = [
        package.save(tmp_path / f"{name}.mgpkg") and (tmp_path / f"{name}.mgpkg").stat().st_size
        for name in "ab"
    ]
    skops.io.dump(package.model, tmp_path / "c.skops")
    deployments = [Deployment(name, f"store:{name}") for name in "abc"]
    gate = Gate(deployments, keys="open", store=tmp_path, cache_bytes=size[0] + 100)
    for name in "ab":
        gate.score(name, UNSURE)
    two = gate.deployments.cache.cache_info()
    gate.score("c", UNSURE)

    assert (1, size[0] + 100) == (two.currsize, two.maxbytes)
    assert size[0] - 2000 < two.currbytes <= size[0]
    assert (tmp_path / "c.skops").stat().st_size == gate.deployments.cache.cache_info().currbytes


@pytest.mark.parametrize(
    ("option", "message"),
    [({"cache_bytes": 0}, "cache_bytes: maxbytes must be"), ({"cache_size": 0}, "cache_size")],
)
def test_gate_rejects_invalid_cache_options(option, message):
    with pytest.raises(ConfigurationError, match=message):
        Gate(keys="open", **option)


def make_bad_files(path):
    """Return damaged packages by name."""
    good = path.read_bytes()
    members = {}
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    index = good.index(members["model.skops"]) + 2000
    return {
        "empty": b"",
        "half": good[: len(good) // 2],
        "garbage": b"\x00\xff" * 1000,
        "another kind": members["model.skops"],
        "tampered": good[:index] + bytes([good[index] ^ 1]) + good[index + 1 :],
    }


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_damaged_replacement_keeps_the_last_good_model(path, interface, caplog):
    """Without a good model the answer is 503 with Retry-After; other deployments are not affected."""
    other = LinearRegression().fit(ROWS, ROWS[:, 0])
    gate = Gate([Deployment("churn", path), Deployment("other", other)], keys="open")
    client = Client(getattr(gate, interface))
    good, statuses = path.read_bytes(), {}
    for name, content in make_bad_files(path).items():
        path.write_bytes(good)
        gate.deployments.cache.cache_clear()
        gate.deployments.warm()
        path.write_bytes(content)
        with pytest.raises(DeploymentUnavailable):
            gate.deployments.reload("churn")
        warm = ask(gate, interface=interface)
        gate.deployments.cache.cache_clear()
        cold = ask(gate, interface=interface)
        statuses[name] = (warm.status, cold.status, cold.header("retry-after"), ask(gate, "other").status)

        assert str(path) not in cold.body.decode()
        assert cold.json()["error"] == "This deployment's model is temporarily unavailable: try again in 1 s"
    assert {(200, 503, "1", 200)} == set(statuses.values())
    path.write_bytes(good)
    gate.deployments.cache.cache_clear()
    assert 200 == client.post("/simple/churn", json=UNSURE).status


def test_gate_rejects_unusable_packages_at_startup(path, tmp_path, package):
    for content in make_bad_files(path).values():
        if content != make_bad_files(path)["tampered"]:
            (tmp_path / "bad.mgpkg").write_bytes(content)
            for model in (tmp_path / "bad.mgpkg", "store:bad"):
                with pytest.raises(ConfigurationError, match=r"bad\.mgpkg"):
                    Gate([Deployment("bad", model)], keys="open", store=tmp_path)
    pickled = ModelPackage.from_estimator(package.model, ROWS, format="joblib")
    digest = pickled.save(tmp_path / "pickled.mgpkg")
    with pytest.raises(ConfigurationError, match="allow_pickle=True"):
        Deployment("pickled", tmp_path / "pickled.mgpkg", sha256=digest)
    store = FolderStore(tmp_path, allow_pickle=True)
    gate = Gate([Deployment("pickled", "store:pickled", sha256=digest)], keys="open", store=store)

    assert 200 == ask(gate, "pickled").status


def test_misplaced_signed_package_is_rejected(path, tmp_path, package, key_pair):
    package.save(tmp_path / "price.mgpkg", sign_key=key_pair.private)
    package.save(tmp_path / "churn@1.mgpkg", sign_key=key_pair.private)
    store = FolderStore(tmp_path, public_keys=[key_pair.public])

    assert "churn" == store.load("churn@1").manifest.name
    with pytest.raises(ConfigurationError, match="contains the package churn@"):
        store.load("price")
    for act in (store.load, store.describe, store.check):
        with pytest.raises(ConfigurationError, match="not signed"):
            act("churn")


def test_reload_changes_the_columns(path, tmp_path):
    """Rows are read by the schema of the model that scores them."""
    gate = Gate([Deployment("churn", path)], keys="open")
    before = ask(gate).status
    rows = np.column_stack([ROWS, ROWS])
    ModelPackage.from_estimator(LogisticRegression().fit(rows, YES), rows, YES).save(path)
    gate.deployments.reload("churn")
    first, second = ask(gate), ask(gate, row={"x0": 1, "x1": 1, "x2": 1, "x3": 1})

    assert (200, 400, 200) == (before, first.status, second.status)
    assert ["x2", "x3"] == first.json()["missing_columns"]


def test_bare_file_has_no_metadata(path, tmp_path, package):
    from modelgate.models.load_policy import LoadPolicy

    skops.io.dump(package.model, tmp_path / "m.skops")

    assert read_package_metadata(tmp_path / "m.skops", LoadPolicy()) is None
