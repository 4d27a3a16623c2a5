"""Rejection of models that open files named by callers."""

import hashlib
import json
import sys
from collections import deque
from functools import partial
from pathlib import Path

import click.testing
import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

import modelgate
from modelgate import (
    ConfigurationError,
    Deployment,
    DeploymentUnavailable,
    Gate,
    MemoryStore,
    ModelPackage,
    Schema,
)
from modelgate.cli.root import cli
from modelgate.models import package
from modelgate.models import serializers as files
from modelgate.models.manifest import Manifest
from modelgate.testing import Client

pytestmark = pytest.mark.slow

TEXTS = ["a good one", "a bad one"] * 5
LABELS = ["yes", "no"] * 5


def fit_pipeline(vectorizer, source="filename"):
    """Return a pipeline as if fitted on files: *source* is set after fitting on texts."""
    pipe = make_pipeline(vectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    pipe[0].set_params(input=source)
    return pipe


class Holder(ClassifierMixin, BaseEstimator):
    """An estimator written by a user."""

    def __init__(self, part=None):
        self.part = part

    def predict(self, X):
        return np.zeros(len(X))


class Slots:
    __slots__ = ("part",)

    def __init__(self, part):
        self.part = part


def make_circular(part):
    one = [part]
    one.append(one)
    return one


def make_array(part):
    array = np.empty((2, 1), dtype=object)
    array[1, 0] = part
    return array


READER = CountVectorizer(input="filename")

PLACES = {
    "pipeline": lambda part: make_pipeline(part, LogisticRegression()),
    "column transformer": lambda part: make_pipeline(
        ColumnTransformer([("text", part, "text")]), LogisticRegression()
    ),
    "union": lambda part: make_pipeline(FeatureUnion([("text", part)]), LogisticRegression()),
    "search": lambda part: GridSearchCV(make_pipeline(part, LogisticRegression()), {}),
    "voting": lambda part: VotingClassifier([("one", make_pipeline(part, LogisticRegression()))]),
    "transformer's arguments": lambda part: make_pipeline(
        FunctionTransformer(str, kw_args={"by": part}), LogisticRegression()
    ),
    "attribute": Holder,
    "list and dict": lambda part: Holder([{"a": (1, part)}]),
    "key": lambda part: Holder({part: 1}),
    "set": lambda part: Holder({part}),
    "deque": lambda part: Holder(deque([part])),
    "array": lambda part: Holder(make_array(part)),
    "record array": lambda part: Holder(np.array([(1, part)], dtype=[("a", int), ("b", object)])),
    "slots": lambda part: Holder(Slots(part)),
    "circle": lambda part: Holder(make_circular(part)),
    "method": lambda part: Holder(part.transform),
    "partial": lambda part: Holder(partial(print, part)),
    "closure": lambda part: Holder(lambda rows: part.transform(rows)),
    "default": lambda part: Holder(lambda rows, by=part: by.transform(rows)),
    "frame": lambda part: Holder(pd.DataFrame({"a": [part]}, dtype=object)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("source", ["filename", "file", np.array("filename")], ids=str)
def test_file_reader_is_found_in_any_part(place, source):
    """Estimators in memory are searched like those in files."""
    model = PLACES[place](CountVectorizer(input=source))
    with pytest.raises(ConfigurationError, match=r"CountVectorizer\(input=.*input=\"content\""):
        Gate([Deployment("m", model)], keys="open")


@pytest.mark.parametrize("place", PLACES)
def test_vectorizer_of_texts_is_accepted(place):
    files.check_opens_no_files(PLACES[place](TfidfVectorizer()))


def test_file_reader_error_names_its_place():
    model = Pipeline([("columns", ColumnTransformer([("note", READER, "note")])), ("last", Holder())])
    with pytest.raises(ConfigurationError) as info:
        files.check_opens_no_files(model)

    assert (
        "CountVectorizer(input='filename') at steps > columns > transformers > note opens files that callers name:"
        ' fit it on texts, with input="content"'
    ) == str(info.value)


def test_file_reader_error_without_a_place():
    with pytest.raises(ConfigurationError, match=r"^CountVectorizer\(input='filename'\) opens files"):
        files.check_opens_no_files(READER)


def wrap_in_functions(model):
    def handler(table):
        return model.predict(table["text"])

    return handler


@pytest.mark.parametrize(
    "wrapped", [wrap_in_functions, lambda it: partial(wrap_in_functions, it), lambda it: it.predict]
)
def test_file_reader_is_found_behind_a_function(wrapped):
    with pytest.raises(ConfigurationError, match="opens files"):
        Gate([Deployment("m", wrapped(fit_pipeline(CountVectorizer)), Schema.of(text=str))], keys="open")


def test_search_behind_a_function_is_limited():
    """A closure over a whole app does not delay the start."""
    handler = wrap_in_functions([[index] for index in range(200_000)])
    files.check_opens_no_files(handler)

    assert callable(handler)


@pytest.fixture(params=[CountVectorizer, TfidfVectorizer, HashingVectorizer])
def reader(request):
    return fit_pipeline(request.param)


@pytest.fixture(
    params=[
        ("skops", CountVectorizer),
        ("joblib", TfidfVectorizer),
        ("package", HashingVectorizer),
        ("package of a pickle", CountVectorizer),
    ],
    ids=lambda param: param[0],
)
def path(request, tmp_path, monkeypatch):
    """A model file with a file reader, which modelgate itself would not write."""
    form, reader = request.param[0], fit_pipeline(request.param[1])
    if form == "skops":
        skops.io.dump(reader, tmp_path / "m.skops")
        return tmp_path / "m.skops"
    if form == "joblib":
        joblib.dump(reader, tmp_path / "m.joblib")
        return tmp_path / "m.joblib"
    # It answers its example: there are such files.
    monkeypatch.chdir(tmp_path)
    for text in TEXTS:
        Path(text).write_text(text)
    format_ = "skops" if form == "package" else "joblib"
    with monkeypatch.context() as patch:
        for module in (files, package):
            patch.setattr(module, "check_opens_no_files", lambda model: None)
        packed = ModelPackage.from_estimator(reader, pd.DataFrame({"text": TEXTS}), format=format_)
        packed.save(tmp_path / "m.mgpkg")
    return tmp_path / "m.mgpkg"


def test_file_with_a_reader_is_not_loaded(path):
    """Pinned and trusted or not; a gate answers 503."""
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(
        ConfigurationError, match=r"m\.\w+'.*Vectorizer\(input='filename'\) at steps > \w+ opens"
    ):
        ModelPackage.load(path, sha256=pin, allow_pickle=True)
    deployment = Deployment("m", f"store:{path.stem}", sha256=pin)
    store = modelgate.FolderStore(path.parent, sha256={"m": pin}, allow_pickle=True)
    answer = Client(Gate([deployment], keys="open", store=store).wsgi).post("/simple/m", json={"text": "a"})

    assert 503 == answer.status


def test_inspect_reports_a_file_reader(path):
    result = click.testing.CliRunner().invoke(cli, ["inspect", str(path), "--load-pickle"])

    assert 0 == result.exit_code
    assert "warning    a gate would reject the file:" in result.stdout
    assert 'opens files that callers name: fit it on texts, with input="content"' in result.stdout


def test_doctor_reports_a_file_reader(path, tmp_path, monkeypatch):
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "readers_app.py").write_text(
        "from modelgate import Deployment, FolderStore, Gate\n"
        f"store = FolderStore({str(tmp_path)!r}, sha256={{'m': {pin!r}}}, allow_pickle=True)\n"
        f"gate = Gate([Deployment('m', 'store:m', sha256={pin!r})], keys='open', store=store)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "readers_app", raising=False)
    result = click.testing.CliRunner().invoke(cli, ["doctor", "readers_app:gate", "--json"])
    found = [finding for finding in json.loads(result.stdout) if finding["about"] == "m"]

    assert 1 == result.exit_code
    assert "opens files that callers name" in found[0]["what"]


def test_package_of_a_file_reader_is_not_created(reader):
    """No file named by its rows is opened."""
    with pytest.raises(ConfigurationError, match="opens files that callers name"):
        ModelPackage.from_estimator(reader, pd.DataFrame({"text": TEXTS}))


def test_save_rejects_a_file_reader(reader, tmp_path):
    """A model may be changed after it was packaged."""
    reader[0].set_params(input="content")
    packed = ModelPackage.from_estimator(reader, pd.DataFrame({"text": TEXTS}))
    reader[0].set_params(input="filename")
    with pytest.raises(ConfigurationError, match="opens files that callers name"):
        packed.save(tmp_path / "m.mgpkg")


@pytest.mark.parametrize(
    "wrapped", [lambda it: it, lambda it: ModelPackage(it, Manifest(name="m", format=1))]
)
def test_memory_store_with_a_file_reader_is_rejected(reader, wrapped):
    gate = Gate([Deployment("m", "store:m")], keys="open", store=MemoryStore({"m": wrapped(reader)}))

    with pytest.raises(DeploymentUnavailable) as info:
        gate.deployments.warm()

    assert "opens files that callers name" in str(info.value.__cause__)


def test_predictor_rejects_a_file_reader(reader):
    with pytest.raises(ConfigurationError, match="opens files that callers name"):
        modelgate.score(reader, {"text": "a"})
