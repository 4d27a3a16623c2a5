"""Packages: what is in them, and what is refused."""

import hashlib
import io
import logging
import os
import pickle
import sys
import time
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
from sklearn.gaussian_process import GaussianProcessRegressor
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

from modelgate import ConfigurationError, ModelPackage, Schema
from modelgate.models import load_model
from modelgate.models.archive import pack
from modelgate.models.package import sidecars_of
from modelgate.models.rules import Rules
from tampering import members_of, rewrite

KEY = "a-secret-that-is-kept-elsewhere"
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


@pytest.fixture
def path(tmp_path, package):
    package.save(tmp_path / "churn.mgpkg")
    return tmp_path / "churn.mgpkg"


def refused(path, match, **options):
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
def test_predictions_are_bit_equal_after_a_round_trip(tmp_path, estimator, folder):
    """What was packed predicts as it did before, bit for bit, classes and probabilities too."""
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
    """Says what it likes."""

    value = float("nan")

    def predict(self, X):
        return np.full(len(X), self.value)


class Forgetful(Guess):
    """Is another once it was written."""

    value = 1.0

    def __setstate__(self, state):
        self.__dict__.update(state, value=2.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_predicts_no_number(monkeypatch, value):
    """Is not packed: no gate would load it."""
    monkeypatch.setattr(Guess, "value", value)
    with pytest.raises(ConfigurationError, match="predicts NaN or an infinity"):
        ModelPackage.from_estimator(Guess().fit(ROWS, ROWS[:, 0]), ROWS, format="joblib")


def test_what_is_written_is_tried(tmp_path):
    """What answers otherwise than the model is not kept."""
    package = ModelPackage.from_estimator(Forgetful().fit(ROWS, ROWS[:, 0]), ROWS, format="joblib")
    with pytest.raises(ConfigurationError, match="does not answer the example"):
        package.save(tmp_path / "m.mgpkg")

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("estimator", "options", "told"),
    [
        (LinearRegression(), {"threshold": 0.5}, "threshold=0.5: the model tells no probabilities"),
        (SVC(), {"threshold": 0.5}, "threshold=0.5: the model tells no probabilities"),
        (LinearRegression(), {"target": ["a", "b"]}, "one for each of 1 outputs"),
        (LinearRegression(), {"y": [1.0]}, "y: accepts a value for each of the 300 rows"),
        (LinearRegression(), {"y": 1.0}, "y: accepts a value for each of the 300 rows"),
    ],
    ids=lambda it: None if isinstance(it, dict) else str(it),
)
def test_options_that_do_not_go_with_the_model(estimator, options, told):
    """Are refused when it is packed, and not by the first request."""
    model = estimator.fit(ROWS, YES if isinstance(estimator, SVC) else ROWS[:, 0])
    with pytest.raises(ConfigurationError, match=told):
        ModelPackage.from_estimator(model, ROWS, **options)


def test_what_a_package_tells(path, package):
    """Everything it was made with."""
    loaded = ModelPackage.load(path)
    told = loaded.manifest

    assert ("churn", "7", "binary", "churned") == (told.name, told.version, told.task, told.target)
    assert ([["no", "yes"]], "yes", 0.3) == (told.classes, told.positive_class, told.threshold)
    assert sklearn.__version__ == told.versions["scikit-learn"]
    assert {"python", "numpy", "scikit-learn"} == told.versions.keys()
    assert package.schema.columns == loaded.schema.columns
    assert package.background == loaded.background
    assert 200 == len(loaded.background)
    assert {"age", "income", "visits", "plan"} == loaded.background[0].keys()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == loaded.sha256
    assert abs(loaded.size - path.stat().st_size) < 5000


def test_statistics_of_the_training(package):
    """Figures for numbers, counts for text and labels."""
    told = package.statistics
    age, plan, target = told["columns"]["age"], told["columns"]["plan"], told["target"]

    assert 300 == told["rows"]
    assert (0, FRAME["age"].mean(), FRAME["age"].std(ddof=0)) == pytest.approx(
        (age["nulls"], age["mean"], age["std"])
    )
    assert np.quantile(FRAME["age"], np.linspace(0, 1, 11)).tolist() == age["deciles"]
    assert {"pro": 300 - (ROWS[:, 1] <= 0).sum(), "free": (ROWS[:, 1] <= 0).sum()} == dict(plan["levels"])
    assert [{"nulls": 0, "levels": [["yes", (YES == "yes").sum()], ["no", (YES == "no").sum()]]}] in (
        target,
        [{"nulls": 0, "levels": target[0]["levels"][::-1]}],
    )


def test_statistics_with_nulls_and_without_y():
    """Nulls are counted, and no figures made of nothing."""
    rows = np.column_stack([ROWS, np.full(300, np.nan)])
    rows[:5, 0] = np.nan
    model = DecisionTreeRegressor(max_depth=2).fit(rows, ROWS[:, 1])
    told = ModelPackage.from_estimator(model, rows).statistics

    assert (5, {"nulls": 300}) == (told["columns"]["x0"]["nulls"], told["columns"]["x3"])
    assert "target" not in told


@pytest.mark.parametrize(
    "labels", [[False, True], [0, 1], [0.0, 1.0], ["0", "1"], [1, 2, 3]], ids=lambda it: repr(it)
)
def test_classes_keep_their_json_types(tmp_path, labels):
    """A label that is true is not 1, and 1 is not 1.0."""
    y = np.array(labels)[np.arange(300) % len(labels)]
    package = ModelPackage.from_estimator(DecisionTreeClassifier().fit(ROWS, y), ROWS, y)
    package.save(tmp_path / "m.mgpkg")
    told = ModelPackage.load(tmp_path / "m.mgpkg").manifest

    assert [labels] == told.classes
    assert [type(label) for label in labels] == [type(label) for label in told.classes[0]]
    assert ("binary" if len(labels) == 2 else "multiclass") == told.task


def test_a_schema_of_ones_own(tmp_path, pipeline):
    """Is kept as it is, bounds included."""
    schema = Schema.from_sample(FRAME).reading(extra="forbid")
    ModelPackage.from_estimator(pipeline, FRAME, schema=schema).save(tmp_path / "m.mgpkg")
    loaded = ModelPackage.load(tmp_path / "m.mgpkg")

    assert (schema.columns, schema.policy) == (loaded.schema.columns, loaded.schema.policy)


def test_a_model_of_texts(tmp_path):
    """Its example is replayed as the texts it was fitted on."""
    texts = ["good day", "bad day"] * 10
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 10)
    package = ModelPackage.from_estimator(model, pd.DataFrame({"text": texts}), name="mood")
    package.save(tmp_path / "mood.mgpkg")
    loaded = ModelPackage.load(tmp_path / "mood.mgpkg")

    assert model.predict(texts[:3]).tolist() == loaded.example["expected"]["predict"]


def test_a_pickle_in_a_package(tmp_path):
    """For what skops cannot write: allowed by name, and pinned."""
    model = GaussianProcessRegressor(optimizer=None).fit(ROWS[:20], ROWS[:20, 0])
    skopsed = ModelPackage.from_estimator(model, ROWS[:20])
    with pytest.raises(ConfigurationError, match=r'not trusted.*format="joblib"'):
        skopsed.save(tmp_path / "m.mgpkg")
    digest = ModelPackage.from_estimator(model, ROWS[:20], format="joblib").save(tmp_path / "m.mgpkg")
    loaded = ModelPackage.load(tmp_path / "m.mgpkg", allow_pickle=True, sha256=digest)

    assert np.array_equal(model.predict(ROWS), loaded.model.predict(ROWS))


def test_what_skops_cannot_write(tmp_path):
    """Is told with the way that is left."""
    model = LinearRegression().fit(ROWS, ROWS[:, 0])
    model.log = (line for line in ())
    with pytest.raises(ConfigurationError, match=r'skops cannot write it.*format="joblib"'):
        ModelPackage.from_estimator(model, ROWS).save(tmp_path / "m.mgpkg")


class Noisy:
    """Warns where it is unpickled."""

    def __reduce__(self):
        return warnings.warn, ("a warning of its own",)


def test_other_warnings_of_a_pickle(tmp_path):
    """Are heard; only those of versions are judged."""
    joblib.dump(Noisy(), tmp_path / "m.joblib")
    with pytest.warns(UserWarning, match="a warning of its own"):
        load_model(
            tmp_path / "m.joblib", sha256=hashlib.sha256((tmp_path / "m.joblib").read_bytes()).hexdigest()
        )


@pytest.mark.parametrize(
    ("package", "suffix", "told"),
    [("skops", ".skops", r'"modelgate\[skops\]"'), ("joblib", ".joblib", r'"modelgate\[sklearn\]"')],
)
def test_a_missing_extra(tmp_path, pipeline, monkeypatch, package, suffix, told):
    """Is told in one line that says what to install."""
    path = tmp_path / f"m{suffix}"
    skops.io.dump(pipeline, path)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.io", None)
    refused(path, told, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "../churn"}, "name"),
        ({"name": "a..b"}, "name"),
        ({"version": "a/b"}, "version"),
        ({"threshold": 1.5}, "threshold"),
        ({"positive_class": "maybe"}, "positive_class='maybe'"),
        ({"positive_class": True}, "positive_class=True"),
        ({"target": 3}, "target"),
        ({"format": "pmml"}, "format='pmml'"),
        ({"X": FRAME[:0]}, "X: accepts at least one row"),
        ({"X": None}, "X: accepts a DataFrame or an array of rows, not NoneType"),
        ({"X": [[1.0, 2.0]]}, "X: accepts a DataFrame or an array of rows, not list"),
        ({"X": "rows"}, "X: accepts a DataFrame or an array of rows, not str"),
        ({"X": scipy.sparse.csr_array(ROWS)}, "X: accepts a DataFrame or an array of rows, not csr_array"),
        (
            {"X": FRAME[["age"]]},
            "^X: its rows break the schema: missing input columns: income, visits, plan$",
        ),
        ({"name": "a/b"}, "name='a/b': accepts letters"),
        ({"version": "1 2"}, "version='1 2': accepts letters"),
        ({"X": FRAME.drop(columns="age")}, "X: .*missing.*age"),
    ],
    ids=str,
)
def test_options_that_cannot_work(pipeline, options, told):
    """Are refused, and named."""
    with pytest.raises(ConfigurationError, match=told):
        ModelPackage.from_estimator(pipeline, **{"X": FRAME, **options})


def test_what_is_saved_outlives_a_crash(tmp_path, package, monkeypatch):
    """Each file is on the disk before it has its name."""
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    package.save(tmp_path / "m.mgpkg")

    assert ["fsync", "replace"] == done


@pytest.mark.parametrize("content", [b"", b"PK\3\4half"])
@pytest.mark.parametrize("suffix", ["mgpkg", "skops"])
def test_a_file_that_is_cut_off(tmp_path, content, suffix):
    """Is told as that."""
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(content)
    refused(path, rf"it is cut off, damaged, or no \.{suffix} file")


def test_saving(tmp_path, package, path, monkeypatch):
    """Takes the place of a file at once; leaves nothing behind where it fails; overwrites no folder."""
    for name in ("churn.zip", "churn"):
        with pytest.raises(ConfigurationError, match=r"ends in \.mgpkg"):
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


def test_a_bare_file_is_no_package_to_save(tmp_path, pipeline):
    """It has no schema of its own, nor an example."""
    skops.io.dump(pipeline, tmp_path / "m.skops")
    bare = ModelPackage.load(tmp_path / "m.skops")

    assert (None, (tmp_path / "m.skops").stat().st_size) == (bare.schema, bare.size)
    with pytest.raises(ConfigurationError, match="from_estimator"):
        bare.save(tmp_path / "m.mgpkg")


def test_the_training_is_not_shown(package):
    """The text of a package has no rows of anybody in it."""

    assert "background" not in repr(package)
    assert str(package.background[0]["age"]) not in repr(package)


# What it costs


def best(function, times):
    """The least of several times, in seconds."""

    def once():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return min(once() for _ in range(times))


def test_sidecars_alone_are_quick(path):
    """Under a millisecond, however large the model."""

    assert best(lambda: sidecars_of(path, Rules()), 200) < 0.001


def test_a_logistic_pipeline_loads_quickly(tmp_path):
    """Under ten milliseconds, its example replayed."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, YES)
    ModelPackage.from_estimator(model, ROWS).save(tmp_path / "m.mgpkg")

    assert best(lambda: ModelPackage.load(tmp_path / "m.mgpkg"), 50) < 0.010


def test_sidecars_need_no_model(path):
    """A model that is damaged is found when it is loaded."""
    content = path.read_bytes()
    at = content.index(members_of(path)["model.skops"]) + 5000
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])

    assert "churn" == sidecars_of(path, Rules()).manifest.name
    refused(path, "model.skops")


# What is refused


def test_a_pinned_package_is_the_very_one(path, package):
    """Another digest is refused, and told."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    assert digest == ModelPackage.load(path, sha256=digest.upper()).sha256
    refused(path, digest, sha256="0" * 64)


@settings(max_examples=150)
@given(st.data())
def test_a_changed_byte(tmp_path_factory, package, data):
    """Is refused; or it is in what a zip says beside its members, and nothing of the package changed."""
    path = tmp_path_factory.mktemp("changed") / "m.mgpkg"
    digest = package.save(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    refused(path, "digest", sha256=digest)
    try:
        loaded = ModelPackage.load(path)
    except ConfigurationError:
        return

    assert package.manifest.name == loaded.manifest.name
    assert package.example == loaded.example
    assert np.array_equal(package.model.predict(FRAME), loaded.model.predict(FRAME))


@pytest.mark.parametrize("member", ["schema.json", "background.json", "example.json", "model.skops"])
def test_a_tampered_member(path, member):
    """Has another digest than the manifest tells."""
    members = members_of(path)
    members[member] = members[member][:-1] + b" "
    path.write_bytes(pack(members))
    refused(path, f"its {member} is not the one")


def zipped(members, **options):
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
def test_a_member_that_has_no_place(path, tmp_path, name):
    """Paths out of the package, names that are none of its own, names that stand twice."""
    path.write_bytes(zipped([*members_of(path).items(), (name, b"evil")]))
    before = sorted(tmp_path.iterdir())
    refused(path, "has no place in a package")

    assert before == sorted(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.joblib", "signature"])
def test_a_member_nobody_vouched_for(path, name):
    """One that could belong to it, and is not in its manifest."""
    path.write_bytes(zipped([*members_of(path).items(), (name, b"evil")]))
    if name == "signature":
        assert "churn" == ModelPackage.load(path).manifest.name
        refused(path, "signature", key=KEY)
    else:
        refused(path, "names other members")


@pytest.mark.parametrize("name", ["manifest.json", "schema.json", "example.json", "model.skops"])
def test_a_member_that_is_missing(path, name):
    """Each of them is needed."""
    path.write_bytes(zipped([item for item in members_of(path).items() if item[0] != name]))
    refused(path, r"has no|names other members")


def test_a_package_is_not_compressed(path):
    """So that nothing in it becomes larger than it is."""
    members = {**members_of(path), "background.json": b" " * 10_000_000 + b"[]"}
    path.write_bytes(zipped(members.items(), compress_type=zipfile.ZIP_DEFLATED))
    refused(path, "compressed")


def test_a_manifest_that_is_too_large(path):
    """Is not read."""
    path.write_bytes(zipped({**members_of(path), "manifest.json": b" " * 2_000_000}.items()))
    refused(path, "larger than 1000000")


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda it: it.update(format=2), "format"),
        (lambda it: it.update(extra=1), "extra"),
        (lambda it: it.update(name="../x"), "name"),
        (lambda it: it.update(threshold=7), "threshold"),
        (lambda it: it.update(model="../../model.skops"), "model"),
        (lambda it: it.update(model="model.joblib"), "names other members"),
        (lambda it: it.update(positive_class="maybe"), "positive_class"),
        (lambda it: it["members"].update({"../x": {"sha256": "", "size": 1}}), "names other members"),
        (lambda it: it["members"]["schema.json"].update(size=1), "schema.json is not"),
    ],
)
def test_a_manifest_that_cannot_be(path, edit, told):
    """The entry at fault is named."""
    rewrite(path, manifest_json=edit)
    refused(path, told)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip at all",
        b"PK\x03\x04" + bytes(100),
        b"[" * 100_000,
        pickle.dumps({"a": 1}),
        b"\xff" * 5000,
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole + whole,
    ],
    ids=["empty", "text", "magic", "deep", "pickle", "bytes", "half", "almost", "twice"],
)
@pytest.mark.parametrize("suffix", [".mgpkg", ".skops", ".joblib"])
def test_files_that_are_not_whole(tmp_path, path, content, suffix):
    """Are refused with their name, whatever they are called."""
    if callable(content):
        whole = path.read_bytes()
        content = content(whole)
        # A zip may begin anywhere: this one has the whole package at its end.
        if content == whole + whole and suffix == ".mgpkg":
            path.write_bytes(content)
            assert "churn" == ModelPackage.load(path).manifest.name
            return
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes(content)
    if suffix == ".joblib" and content == pickle.dumps({"a": 1}):
        assert {"a": 1} == load_model(bad, sha256=hashlib.sha256(content).hexdigest())
        return
    refused(bad, "bad", sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("member", ["schema.json", "background.json", "example.json", "model.skops"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"null", b"[]", b"[1]", b'{"a": 1e999}', b'{"a": 1}']
)
def test_members_that_are_not_whole(path, member, content):
    """Though their digests fit."""
    rewrite(path, **{member.replace(".", "_"): content})
    if (member, content) in {("background.json", b"null"), ("background.json", b"[]")}:
        assert not ModelPackage.load(path).background
    else:
        refused(path, "model=")


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return os.mkdir, (self._path,)


def to_joblib(manifest):
    manifest["model"] = "model.joblib"


def test_a_hostile_pickle_in_a_package_is_never_executed(path, tmp_path):
    """Neither under its own name without being allowed and pinned, nor under that of skops."""
    crater = tmp_path / "crater"
    bomb = pickle.dumps(Bomb(crater))
    rewrite(path, model_skops=bomb)
    refused(path, "cannot be read", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    rewrite(path, model_skops=None, model_joblib=bomb, manifest_json=to_joblib)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for options in ({}, {"allow_pickle": True}, {"sha256": digest}):
        refused(path, "holds a pickle", **options)
    refused(path, "digest", allow_pickle=True, sha256="0" * 64)

    assert not crater.exists()
    with pytest.raises(ConfigurationError):
        ModelPackage.load(path, allow_pickle=True, sha256=digest)
    assert crater.exists()


def npy(shape, dtype, content=b""):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


def with_array(content, array):
    """The skops file *content*, an array in it replaced."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith(".npy"))
    return pack({**members, name: array})


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (npy((10**12,), "<f8", bytes(8)), "not as large as it says"),
        (npy((2**62, 2**62), "<f8"), "not as large as it says"),
        (npy((-1,), "<f8"), "not as large as it says"),
        (npy((1,), "|O", pickle.dumps(Bomb("crater"))[:8].ljust(8)), "cannot be read"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "unknown format"),
        (b"", "cannot be read"),
    ],
    ids=["large", "overflow", "negative", "objects", "version", "empty"],
)
def test_a_bomb_of_an_array(path, array, told):
    """An array that says it is larger than it is is not made."""
    rewrite(path, model_skops=with_array(members_of(path)["model.skops"], array))
    refused(path, told)


@pytest.mark.parametrize("nested", [False, True])
def test_a_bomb_of_a_zip(tmp_path, nested):
    """What is a thousand times as large once it is unpacked is not unpacked."""
    content = zipped([("a.npy", npy((10**7,), "|u1", bytes(10**7)))], compress_type=zipfile.ZIP_DEFLATED)
    if nested:
        content = zipped([("schema.json", b"{}"), ("a.npz", content)])
    (tmp_path / "m.skops").write_bytes(content)
    refused(tmp_path / "m.skops", "100 times as large")


def older(manifest):
    manifest["versions"]["scikit-learn"] = "1.2.3"


# Bare files tell their version too, in their own ways.
@pytest.mark.parametrize("suffix", [".mgpkg", ".skops", ".joblib"])
def test_another_version_of_scikit_learn(path, tmp_path, pipeline, monkeypatch, caplog, suffix):
    """Is refused, or by choice told in the log; the patch level may differ."""
    file = tmp_path / f"churn{suffix}"
    if suffix == ".skops":
        skops.io.dump(pipeline, file)
    elif suffix == ".joblib":
        joblib.dump(pipeline, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    here = sklearn.__version__
    for version in ("99.1.0", f"{here.rpartition('.')[0]}.99"):
        monkeypatch.setattr(sklearn, "__version__", version)
        monkeypatch.setattr(sklearn.base, "__version__", version)
        if version == "99.1.0":
            refused(file, f"is of scikit-learn {here}, and here is 99.1.0", sha256=digest)
            with caplog.at_level(logging.WARNING, "modelgate"), ignoring_versions():
                ModelPackage.load(file, sha256=digest, mismatch="warn")
            assert "and here is 99.1.0" in caplog.text
    with ignoring_versions():
        assert ModelPackage.load(file, sha256=digest).model.predict(FRAME).tolist()


def ignoring_versions():
    """scikit-learn warns by itself too."""
    return warnings.catch_warnings(action="ignore", category=sklearn.exceptions.InconsistentVersionWarning)


def test_other_columns_than_the_schema(path, caplog):
    """Are refused, or by choice told in the log; a model cannot be without one that it needs."""
    extra = {"name": "shoe_size", "kind": "number", "required": False, "nullable": True}
    rewrite(path, schema_json=lambda it: it["column"].append(extra))
    refused(path, r"other columns than its schema \(shoe_size\)")
    ModelPackage.load(path, mismatch="warn")

    assert "shoe_size" in caplog.text


def test_an_example_that_is_answered_otherwise(path):
    """The model is not the one it was, or not in the world it was in."""
    rewrite(path, example_json=lambda it: it["expected"]["predict"].__setitem__(0, "maybe"))
    refused(path, "predict does not answer the example")


@pytest.mark.parametrize(
    ("factor", "fits"), [(1 + 1e-9, True), (1.001, False)], ids=["another processor", "another model"]
)
def test_numbers_of_an_example(path, factor, fits):
    """May differ as much as processors do."""

    def change(example):
        likely = example["expected"]["predict_proba"]
        likely[0] = [value * factor for value in likely[0]]

    rewrite(path, example_json=change)
    if fits:
        assert "churn" == ModelPackage.load(path).manifest.name
    else:
        refused(path, "predict_proba does not answer")


# Signatures


def test_a_signed_package(tmp_path, package):
    """Is loaded with its key, and without one; with another it is not."""
    for folder in (False, True):
        path = tmp_path / f"{folder}.mgpkg"
        package.save(path, key=KEY, folder=folder)

        for key in (KEY, KEY.encode(), None):
            assert "churn" == ModelPackage.load(path, key=key).manifest.name
        refused(path, "signature", key="another-secret-of-somebody")


def test_what_is_not_signed(path, tmp_path, pipeline):
    """Is refused where there is a key; a bare file never is."""
    refused(path, "not signed", key=KEY)
    skops.io.dump(pipeline, tmp_path / "m.skops")
    refused(tmp_path / "m.skops", "not signed", key=KEY)


def test_what_was_changed_after_it_was_signed(tmp_path, package):
    """The manifest is signed, and has the digests of everything else."""
    path = tmp_path / "m.mgpkg"
    package.save(path, key=KEY)
    rewrite(path, key="a-secret-of-somebody-else", manifest_json=lambda it: it.update(threshold=0.9))
    refused(path, "signature", key=KEY)
    rewrite(path, key=KEY, manifest_json=lambda it: it.update(threshold=0.9))

    assert 0.9 == ModelPackage.load(path, key=KEY).manifest.threshold


@pytest.mark.parametrize("key", ["short", b"", 16 * [1]], ids=repr)
def test_a_key_that_cannot_work(tmp_path, path, package, key):
    """Is refused where it is given, and never shown."""
    for act in (lambda: package.save(path, key=key), lambda: ModelPackage.load(path, key=key)):
        with pytest.raises(ConfigurationError, match="key: accepts") as info:
            act()
        assert "short" not in str(info.value)


def test_rules_do_not_show_the_key():
    """Nor does their text."""

    assert KEY not in repr(Rules(key=KEY))


def test_other_rules_that_cannot_work():
    """The option is named."""
    with pytest.raises(ConfigurationError, match="mismatch='ignore'"):
        Rules(mismatch="ignore")


# Folders


def test_a_folder_is_pinned_by_its_manifest(tmp_path, package):
    """Which has the digests of the rest; what else lies there is not looked at."""
    folder = tmp_path / "m.mgpkg"
    digest = package.save(folder, folder=True)
    (folder / ".DS_Store").write_bytes(b"?")

    assert digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert digest == ModelPackage.load(folder, sha256=digest).sha256
    assert "churn" == sidecars_of(folder, Rules()).manifest.name
    refused(folder, "digest", sha256="0" * 64)
    Path(folder, "model.skops").write_bytes(b"other")
    refused(folder, "its model.skops is not the one")
