"""Model packages: content, round trips, and files that are rejected."""

import hashlib
import io
import logging
import os
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import sklearn.base
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from modelgate.models import load_model
from modelgate.models.archive import pack
from modelgate.models.load_policy import LoadPolicy
from modelgate.models.package_files import read_package_metadata
from support.marks import slow
from support.tampering import read_members, rewrite_package

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(300, 3))
YES = np.where(ROWS[:, 0] > 0, "yes", "no")
FRAME = pd.DataFrame(ROWS, columns=["age", "income", "visits"]).assign(
    plan=np.where(ROWS[:, 1] > 0, "pro", "free")
)


@pytest.fixture(scope="module")
def pipeline():
    columns = make_column_transformer(
        (StandardScaler(), ["age", "income", "visits"]), (OneHotEncoder(), ["plan"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, YES)


@pytest.fixture(scope="module")
def package(pipeline):
    return ModelPackage.from_estimator(
        pipeline,
        FRAME,
        YES,
        name="churn",
        version="7",
        target="churned",
        positive_class="yes",
        threshold=0.3,
    )


@pytest.fixture(scope="module")
def package_bytes(package):
    """The package as a file."""
    return package.to_bytes()[1]


@pytest.fixture
def path(tmp_path, package_bytes):
    path = tmp_path / "churn.mgpkg"
    path.write_bytes(package_bytes)
    return path


def assert_rejected(path, match, **options):
    with pytest.raises(ConfigurationError, match=match) as info:
        ModelPackage.load(path, **options)
    assert str(path) in str(info.value)


# What goes in comes out

TREE = DecisionTreeClassifier(random_state=0)
FAMILIES = [
    LogisticRegression(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    RandomForestClassifier(20, random_state=0),
    GradientBoostingClassifier(n_estimators=10, random_state=0),
    HistGradientBoostingClassifier(max_iter=10),
    SVC(),
    KNeighborsClassifier(),
    GaussianNB(),
    MLPClassifier((8,), solver="lbfgs", max_iter=2000, random_state=0),
    TREE,
    CalibratedClassifierCV(GaussianNB(), cv=2),
    VotingClassifier([("a", GaussianNB()), ("b", TREE)], voting="soft"),
    StackingClassifier([("a", GaussianNB()), ("b", TREE)], cv=2),
    GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2),
    MultiOutputClassifier(LogisticRegression()),
    LinearRegression(),
    Ridge(),
    RandomForestRegressor(10, random_state=0),
    HistGradientBoostingRegressor(max_iter=10),
]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("estimator", FAMILIES, ids=lambda it: type(it).__name__)
@pytest.mark.slow
def test_round_trip_preserves_predictions_bit_for_bit(tmp_path, estimator, folder):
    y = ROWS @ [1, 2, 3] if not sklearn.base.is_classifier(estimator) else YES
    if isinstance(estimator, MultiOutputClassifier):
        y = np.column_stack([YES, YES[::-1]])
    model = sklearn.base.clone(estimator).fit(ROWS, y)
    digest = ModelPackage.from_estimator(model, ROWS, y).save(tmp_path / "m.mgpkg", folder=folder)
    loaded = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest).model

    assert np.array_equal(model.predict(ROWS), loaded.predict(ROWS))
    if hasattr(model, "predict_proba"):
        assert np.array_equal(np.asarray(model.predict_proba(ROWS)), np.asarray(loaded.predict_proba(ROWS)))


class Guess(LinearRegression):
    """Predicts a constant."""

    value = float("nan")

    def predict(self, X):
        return np.full(len(X), self.value)


class Forgetful(Guess):
    """Predicts another constant once it was serialized."""

    value = 1.0

    def __setstate__(self, state):
        self.__dict__.update(state, value=2.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_package_rejects_models_that_predict_nan_or_infinity(monkeypatch, value):
    monkeypatch.setattr(Guess, "value", value)
    with pytest.raises(ConfigurationError, match="got NaN or an infinity"):
        ModelPackage.from_estimator(Guess().fit(ROWS, ROWS[:, 0]), ROWS, format="joblib")


def test_save_verifies_the_written_model(tmp_path):
    package = ModelPackage.from_estimator(Forgetful().fit(ROWS, ROWS[:, 0]), ROWS, format="joblib")
    with pytest.raises(ConfigurationError, match="differs from the example"):
        package.save(tmp_path / "m.mgpkg")

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (LinearRegression(), {"threshold": 0.5}, "threshold must be None"),
        (SVC(), {"threshold": 0.5}, "threshold must be None"),
        (LinearRegression(), {"target": ["a", "b"]}, "names for the 1 outputs"),
        (LinearRegression(), {"y": [1.0]}, "y must have one value for each of the 300 rows"),
        (LinearRegression(), {"y": 1.0}, "y must have one value for each of the 300 rows"),
    ],
    ids=lambda it: None if isinstance(it, dict) else str(it),
)
def test_package_rejects_options_that_do_not_fit_the_model(estimator, options, message):
    model = estimator.fit(ROWS, YES if isinstance(estimator, SVC) else ROWS[:, 0])
    with pytest.raises(ConfigurationError, match=message):
        ModelPackage.from_estimator(model, ROWS, **options)


@pytest.mark.slow
def test_package_describes_its_model(path, package):
    loaded = ModelPackage.load(path)
    manifest = loaded.manifest

    assert ("churn", "7", "binary", "churned") == (
        manifest.name,
        manifest.version,
        manifest.task,
        manifest.target,
    )
    assert ([["no", "yes"]], "yes", 0.3) == (manifest.classes, manifest.positive_class, manifest.threshold)
    assert sklearn.__version__ == manifest.versions["scikit-learn"]
    assert {"python", "numpy", "scikit-learn"} == manifest.versions.keys()
    assert package.schema.columns == loaded.schema.columns
    assert package.background == loaded.background
    assert 200 == len(loaded.background)
    assert {"age", "income", "visits", "plan"} == loaded.background[0].keys()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == loaded.sha256
    assert abs(loaded.size - path.stat().st_size) < 5000


@pytest.mark.slow
def test_training_statistics(package):
    """Deciles for numbers, counts for text and labels."""
    statistics = package.statistics
    age, plan, target = statistics["columns"]["age"], statistics["columns"]["plan"], statistics["target"]

    assert 300 == statistics["rows"]
    assert (0, FRAME["age"].mean(), FRAME["age"].std(ddof=0)) == pytest.approx(
        (age["nulls"], age["mean"], age["std"])
    )
    assert np.quantile(FRAME["age"], np.linspace(0, 1, 11)).tolist() == age["deciles"]
    assert {"pro": 300 - (ROWS[:, 1] <= 0).sum(), "free": (ROWS[:, 1] <= 0).sum()} == dict(plan["levels"])
    assert [{"nulls": 0, "levels": [["yes", (YES == "yes").sum()], ["no", (YES == "no").sum()]]}] in (
        target,
        [{"nulls": 0, "levels": target[0]["levels"][::-1]}],
    )


def test_training_statistics_with_nulls_and_without_y():
    rows = np.column_stack([ROWS, np.full(300, np.nan)])
    rows[:5, 0] = np.nan
    model = DecisionTreeRegressor(max_depth=2).fit(rows, ROWS[:, 1])
    statistics = ModelPackage.from_estimator(model, rows).statistics

    assert (5, {"nulls": 300}) == (statistics["columns"]["x0"]["nulls"], statistics["columns"]["x3"])
    assert "target" not in statistics


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels", [[False, True], [0, 1], [0.0, 1.0], ["0", "1"], [1, 2, 3]], ids=lambda it: repr(it)
)
def test_classes_keep_their_json_types(tmp_path, labels):
    """True is not 1, and 1 is not 1.0."""
    y = np.array(labels)[np.arange(300) % len(labels)]
    package = ModelPackage.from_estimator(DecisionTreeClassifier().fit(ROWS, y), ROWS, y)
    package.save(tmp_path / "m.mgpkg")
    manifest = ModelPackage.load(tmp_path / "m.mgpkg").manifest

    assert [labels] == manifest.classes
    assert [type(label) for label in labels] == [type(label) for label in manifest.classes[0]]
    assert ("binary" if len(labels) == 2 else "multiclass") == manifest.task


@pytest.mark.slow
def test_package_stores_a_custom_schema(tmp_path, pipeline):
    schema = Schema.from_sample(FRAME).with_options(extra_columns="forbid")
    ModelPackage.from_estimator(pipeline, FRAME, schema=schema).save(tmp_path / "m.mgpkg")
    loaded = ModelPackage.load(tmp_path / "m.mgpkg")

    assert (schema.columns, schema.options) == (loaded.schema.columns, loaded.schema.options)


def test_package_of_a_text_model(tmp_path):
    texts = ["good day", "bad day"] * 10
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 10)
    package = ModelPackage.from_estimator(model, pd.DataFrame({"text": texts}), name="mood")
    package.save(tmp_path / "mood.mgpkg")
    loaded = ModelPackage.load(tmp_path / "mood.mgpkg")

    assert model.predict(texts[:3]).tolist() == loaded.example["expected"]["predict"]


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["skops", "joblib"])
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(3, random_state=0),
        KNeighborsClassifier(),
        MultiOutputClassifier(LogisticRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_outputs_with_different_numbers_of_classes(tmp_path, model, format_):
    """Two classes and three; they are served like those of the estimator itself."""
    labels = np.column_stack([ROWS[:, 0] > ROWS[:, 0].mean(), np.arange(len(ROWS)) % 3]).astype(int)
    model.fit(ROWS, labels)
    digest = ModelPackage.from_estimator(model, ROWS, labels, format=format_).save(tmp_path / "m.mgpkg")
    package = ModelPackage.load(tmp_path / "m.mgpkg", sha256=digest, allow_pickle=True)
    outputs = Gate([Deployment("m", package)], keys="open").score("m", ROWS[:5]).outputs

    assert [[0, 1], [0, 1, 2]] == package.manifest.classes
    assert np.array_equal(model.predict(ROWS[:5]), np.column_stack([output.values for output in outputs]))
    for expected, output in zip(model.predict_proba(ROWS[:5]), outputs, strict=True):
        assert np.array_equal(expected, output.probabilities)


def test_pickle_in_a_package_must_be_allowed_and_pinned(tmp_path):
    model = Birch(n_clusters=2).fit(ROWS[:20])
    skopsed = ModelPackage.from_estimator(model, ROWS[:20])
    with pytest.raises(ConfigurationError, match=r'skops cannot write the model.*format="joblib"'):
        skopsed.save(tmp_path / "m.mgpkg")
    digest = ModelPackage.from_estimator(model, ROWS[:20], format="joblib").save(tmp_path / "m.mgpkg")
    loaded = ModelPackage.load(tmp_path / "m.mgpkg", allow_pickle=True, sha256=digest)

    assert np.array_equal(model.predict(ROWS), loaded.model.predict(ROWS))


def test_skops_failure_suggests_joblib(tmp_path):
    model = LinearRegression().fit(ROWS, ROWS[:, 0])
    model.log = (line for line in ())
    with pytest.raises(ConfigurationError, match=r'skops cannot write the model.*format="joblib"'):
        ModelPackage.from_estimator(model, ROWS).save(tmp_path / "m.mgpkg")


class Noisy:
    """Warns when it is unpickled."""

    def __reduce__(self):
        return warnings.warn, ("a warning of its own",)


def test_other_warnings_of_a_pickle_are_not_suppressed(tmp_path):
    joblib.dump(Noisy(), tmp_path / "m.joblib")
    with pytest.warns(UserWarning, match="a warning of its own"):
        load_model(
            tmp_path / "m.joblib", sha256=hashlib.sha256((tmp_path / "m.joblib").read_bytes()).hexdigest()
        )


@pytest.mark.parametrize(
    ("package", "suffix", "message"),
    [("skops", ".skops", r'"modelgate\[skops\]"'), ("joblib", ".joblib", r'"modelgate\[sklearn\]"')],
)
def test_missing_extra_is_named(tmp_path, pipeline, monkeypatch, package, suffix, message):
    path = tmp_path / f"m{suffix}"
    skops.io.dump(pipeline, path)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.io", None)
    assert_rejected(path, message, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "../churn"}, "name"),
        ({"name": "a..b"}, "name"),
        ({"version": "a/b"}, "version"),
        ({"threshold": 1.5}, "threshold"),
        ({"positive_class": "maybe"}, "got 'maybe'"),
        ({"positive_class": True}, "got True"),
        ({"target": 3}, "target"),
        ({"format": "pmml"}, "format must be .*'pmml'"),
        ({"X": FRAME[:0]}, "X must have at least one row"),
        (
            {"X": None},
            r"X must be a DataFrame, a 2-D array of rows, a list of dictionaries or a list of texts \(got NoneType\)",
        ),
        ({"X": [[1.0, 2.0]]}, r"X must be a DataFrame, .*\(got list\)"),
        ({"X": "rows"}, r"X must be a DataFrame, .*\(got str\)"),
        ({"X": scipy.sparse.csr_array(ROWS)}, r"X must be a DataFrame, .*\(got csr_array\)"),
        (
            {"X": FRAME[["age"]]},
            "^X must have rows that match the schema: missing input columns: income, visits, plan$",
        ),
        ({"name": "a/b"}, "name must be letters.*'a/b'"),
        ({"version": "1 2"}, "version must be letters.*'1 2'"),
        ({"X": FRAME.drop(columns="age")}, "X must have rows .*missing.*age"),
    ],
    ids=str,
)
def test_package_rejects_invalid_options(pipeline, options, message):
    with pytest.raises(ConfigurationError, match=message):
        ModelPackage.from_estimator(pipeline, **{"X": FRAME, **options})


@pytest.mark.slow
def test_save_syncs_before_the_rename(tmp_path, package, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    package.save(tmp_path / "m.mgpkg")

    assert ["fsync", "replace"] == done


@pytest.mark.parametrize("content", [b"", b"PK\3\4half"])
@pytest.mark.parametrize("suffix", ["mgpkg", "skops"])
def test_truncated_file_is_reported_as_such(tmp_path, content, suffix):
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(content)
    assert_rejected(path, rf"it is truncated, damaged, or not a \.{suffix} file")


@pytest.mark.slow
def test_save_is_atomic(tmp_path, package, path, monkeypatch):
    """Replaces a file, never a folder, and leaves nothing behind when it fails."""
    for name in ("churn.zip", "churn"):
        with pytest.raises(ConfigurationError, match=r"must end in \.mgpkg"):
            package.save(tmp_path / name)
    package.save(path)
    package.save(tmp_path / "folder.mgpkg", folder=True)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match="cannot be written"):
        package.save(tmp_path / "folder.mgpkg", folder=True)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        package.save(tmp_path / "folder.mgpkg")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        package.save(tmp_path / "none" / "churn.mgpkg")

    assert before == sorted(tmp_path.iterdir())
    assert "churn" == ModelPackage.load(path).manifest.name


def test_bare_file_cannot_be_saved_as_a_package(tmp_path, pipeline):
    skops.io.dump(pipeline, tmp_path / "m.skops")
    bare = ModelPackage.load(tmp_path / "m.skops")

    assert (None, (tmp_path / "m.skops").stat().st_size) == (bare.schema, bare.size)
    with pytest.raises(ConfigurationError, match="from_estimator"):
        bare.save(tmp_path / "m.mgpkg")


def test_repr_hides_training_rows(package):
    assert "background" not in repr(package)
    assert str(package.background[0]["age"]) not in repr(package)


def test_metadata_is_read_without_the_model(path):
    content = path.read_bytes()
    at = content.index(read_members(path)["model.skops"]) + 5000
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])

    assert "churn" == read_package_metadata(path, LoadPolicy()).manifest.name
    assert_rejected(path, "model.skops")


# What is refused


def test_pin_rejects_another_package(path, package):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    assert digest == ModelPackage.load(path, sha256=digest.upper()).sha256
    assert_rejected(path, digest, sha256="0" * 64)


@settings(max_examples=60)
@given(st.data())
@pytest.mark.slow
def test_any_changed_byte_is_rejected_or_irrelevant(tmp_path_factory, package, data):
    """Irrelevant bytes are those of the zip format outside of the members."""
    path = tmp_path_factory.mktemp("changed") / "m.mgpkg"
    digest = package.save(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert_rejected(path, "digest", sha256=digest)
    try:
        loaded = ModelPackage.load(path)
    except ConfigurationError:
        return

    assert package.manifest.name == loaded.manifest.name
    assert package.example == loaded.example
    assert np.array_equal(package.model.predict(FRAME), loaded.model.predict(FRAME))


@pytest.mark.parametrize("member", ["schema.json", "background.json", "example.json", "model.skops"])
def test_tampered_member_is_rejected(path, member):
    members = read_members(path)
    members[member] = members[member][:-1] + b" "
    path.write_bytes(pack(members))
    assert_rejected(path, f"{member} does not have the digest")


def make_zip(members, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "..\\evil",
        "C:\\evil",
        "sub/model.skops",
        "evil.py",
        "MODEL.SKOPS",
        "schema.json",
    ],
)
def test_unknown_or_duplicate_member_is_rejected(path, tmp_path, name):
    path.write_bytes(make_zip([*read_members(path).items(), (name, b"evil")]))
    before = sorted(tmp_path.iterdir())
    assert_rejected(path, "unknown or duplicated")

    assert before == sorted(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.joblib", "signature.ed25519"])
def test_member_missing_from_the_manifest_is_rejected(path, name, key_pair):
    path.write_bytes(make_zip([*read_members(path).items(), (name, b"evil")]))
    if name == "signature.ed25519":
        assert "churn" == ModelPackage.load(path).manifest.name
        assert_rejected(path, "Ed25519 signature", public_keys=[key_pair.public])
    else:
        assert_rejected(path, "does not list exactly the members")


@pytest.mark.parametrize("name", ["manifest.json", "schema.json", "example.json", "model.skops"])
def test_missing_member_is_rejected(path, name):
    path.write_bytes(make_zip([item for item in read_members(path).items() if item[0] != name]))
    assert_rejected(path, r"has no|does not list exactly the members")


def test_compressed_member_is_rejected(path):
    members = {**read_members(path), "background.json": b" " * 10_000_000 + b"[]"}
    path.write_bytes(make_zip(members.items(), compress_type=zipfile.ZIP_DEFLATED))
    assert_rejected(path, "without compression")


def test_oversized_manifest_is_rejected(path):
    path.write_bytes(make_zip({**read_members(path), "manifest.json": b" " * 2_000_000}.items()))
    assert_rejected(path, "at most 1000000 bytes")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda it: it.update(format=2), "format"),
        (lambda it: it.update(extra=1), "extra"),
        (lambda it: it.update(name="../x"), "name"),
        (lambda it: it.update(threshold=7), "threshold"),
        (lambda it: it.update(model="../../model.skops"), "model"),
        (lambda it: it.update(model="model.joblib"), "does not list exactly the members"),
        (lambda it: it.update(positive_class="maybe"), "positive_class"),
        (
            lambda it: it["members"].update({"../x": {"sha256": "", "size": 1}}),
            "does not list exactly the members",
        ),
        (lambda it: it["members"]["schema.json"].update(size=1), "schema.json does not have"),
    ],
)
def test_invalid_manifest_is_rejected(path, edit, message):
    rewrite_package(path, manifest_json=edit)
    assert_rejected(path, message)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip at all",
        b"PK\x03\x04" + bytes(100),
        b"[" * 100_000,
        pickle.dumps({"a": 1}),
        b"\xff" * 5000,
        lambda original: original[: len(original) // 2],
        lambda original: original[:-1],
        lambda original: original + original,
    ],
    ids=["empty", "text", "magic", "deep", "pickle", "bytes", "half", "almost", "twice"],
)
@pytest.mark.parametrize("suffix", [".mgpkg", *slow(".skops", ".joblib")])
def test_damaged_files_are_rejected(tmp_path, path, content, suffix):
    if callable(content):
        original = path.read_bytes()
        content = content(original)
        # A zip may begin anywhere: this one has the whole package at its end.
        if content == original + original and suffix == ".mgpkg":
            path.write_bytes(content)
            assert "churn" == ModelPackage.load(path).manifest.name
            return
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes(content)
    if suffix == ".joblib" and content == pickle.dumps({"a": 1}):
        assert {"a": 1} == load_model(bad, sha256=hashlib.sha256(content).hexdigest())
        return
    assert_rejected(bad, "bad", sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("member", ["schema.json", *slow("background.json", "example.json", "model.skops")])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"null", b"[]", b"[1]", b'{"a": 1e999}', b'{"a": 1}']
)
def test_damaged_members_are_rejected(path, member, content):
    """Even if their digests match."""
    rewrite_package(path, **{member.replace(".", "_"): content})
    if (member, content) in {("background.json", b"null"), ("background.json", b"[]")}:
        assert not ModelPackage.load(path).background
    else:
        assert_rejected(path, "model=")


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return os.mkdir, (self._path,)


def set_joblib(manifest):
    manifest["model"] = "model.joblib"


def test_hostile_pickle_in_a_package_is_not_executed(path, tmp_path):
    """Neither without permission and a pin nor under the name of a skops member."""
    crater = tmp_path / "crater"
    bomb = pickle.dumps(Bomb(crater))
    rewrite_package(path, model_skops=bomb)
    assert_rejected(path, "cannot be read", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    rewrite_package(path, model_skops=None, model_joblib=bomb, manifest_json=set_joblib)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for options in ({}, {"allow_pickle": True}, {"sha256": digest}):
        assert_rejected(path, "contains a pickle", **options)
    assert_rejected(path, "digest", allow_pickle=True, sha256="0" * 64)

    assert not crater.exists()
    with pytest.raises(ConfigurationError):
        ModelPackage.load(path, allow_pickle=True, sha256=digest)
    assert crater.exists()


def make_npy(shape, dtype, content=b""):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


def replace_array(content, array):
    """Return the skops file *content* with one array replaced."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith(".npy"))
    return pack({**members, name: array})


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (make_npy((10**12,), "<f8", bytes(8)), "size differs from its header"),
        (make_npy((2**62, 2**62), "<f8"), "size differs from its header"),
        (make_npy((-1,), "<f8"), "size differs from its header"),
        (make_npy((1,), "|O", pickle.dumps(Bomb("crater"))[:8].ljust(8)), "cannot be read"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "unknown format"),
        (b"", "cannot be read"),
    ],
    ids=["large", "overflow", "negative", "objects", "version", "empty"],
)
def test_array_with_a_false_size_is_not_allocated(path, array, message):
    rewrite_package(path, model_skops=replace_array(read_members(path)["model.skops"], array))
    assert_rejected(path, message)


@pytest.mark.parametrize("nested", [False, True])
def test_zip_bomb_is_not_unpacked(tmp_path, nested):
    content = make_zip(
        [("a.npy", make_npy((10**7,), "|u1", bytes(10**7)))], compress_type=zipfile.ZIP_DEFLATED
    )
    if nested:
        content = make_zip([("schema.json", b"{}"), ("a.npz", content)])
    (tmp_path / "m.skops").write_bytes(content)
    assert_rejected(tmp_path / "m.skops", "100 times its own size")


def set_older_version(manifest):
    manifest["versions"]["scikit-learn"] = "1.2.3"


# Bare files tell their version too, in their own ways.
@pytest.mark.parametrize("suffix", [".mgpkg", ".skops", ".joblib"])
def test_other_scikit_learn_version_is_rejected_or_logged(
    path, tmp_path, pipeline, monkeypatch, caplog, suffix
):
    """The patch level may differ. Bare files store their version in their own ways."""
    file = tmp_path / f"churn{suffix}"
    if suffix == ".skops":
        skops.io.dump(pipeline, file)
    elif suffix == ".joblib":
        joblib.dump(pipeline, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    installed = sklearn.__version__
    for version in ("99.1.0", f"{installed.rpartition('.')[0]}.99"):
        monkeypatch.setattr(sklearn, "__version__", version)
        monkeypatch.setattr(sklearn.base, "__version__", version)
        if version == "99.1.0":
            assert_rejected(
                file, f"was saved with scikit-learn {installed}, but 99.1.0 is installed", sha256=digest
            )
            with caplog.at_level(logging.WARNING, "modelgate"), ignore_version_warnings():
                ModelPackage.load(file, sha256=digest, on_version_mismatch="warn")
            assert "but 99.1.0 is installed" in caplog.text
    with ignore_version_warnings():
        assert ModelPackage.load(file, sha256=digest).model.predict(FRAME).tolist()


def ignore_version_warnings():
    """Suppress scikit-learn's own warning."""
    return warnings.catch_warnings(action="ignore", category=sklearn.exceptions.InconsistentVersionWarning)


def test_schema_mismatch_is_rejected_or_logged(path, caplog):
    extra = {"name": "shoe_size", "kind": "number", "required": False, "nullable": True}
    rewrite_package(path, schema_json=lambda it: it["column"].append(extra))
    assert_rejected(path, r"other columns than its schema \(shoe_size\)")
    ModelPackage.load(path, on_version_mismatch="warn")

    assert "shoe_size" in caplog.text


def test_package_that_fails_its_example_is_rejected(path):
    rewrite_package(path, example_json=lambda it: it["expected"]["predict"].__setitem__(0, "maybe"))
    assert_rejected(path, "predict differs from the example")


@pytest.mark.parametrize(
    ("factor", "fits"), [(1 + 1e-9, True), (1.001, False)], ids=["another processor", "another model"]
)
def test_example_tolerates_rounding(path, factor, fits):
    def change(example):
        probabilities = example["expected"]["predict_proba"]
        probabilities[0] = [value * factor for value in probabilities[0]]

    rewrite_package(path, example_json=change)
    if fits:
        assert "churn" == ModelPackage.load(path).manifest.name
    else:
        assert_rejected(path, "predict_proba differs")


def test_load_policy_rejects_invalid_options():
    with pytest.raises(ConfigurationError, match=r"on_version_mismatch must be .*'ignore'"):
        LoadPolicy(on_version_mismatch="ignore")


# Folders


def test_package_folder_is_pinned_by_its_manifest(tmp_path, package):
    """Other files in the folder are ignored."""
    folder = tmp_path / "m.mgpkg"
    digest = package.save(folder, folder=True)
    (folder / ".DS_Store").write_bytes(b"?")

    assert digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert digest == ModelPackage.load(folder, sha256=digest).sha256
    assert "churn" == read_package_metadata(folder, LoadPolicy()).manifest.name
    assert_rejected(folder, "digest", sha256="0" * 64)
    Path(folder, "model.skops").write_bytes(b"other")
    assert_rejected(folder, "model.skops does not have the digest")
