"""No model opens files that callers name."""

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
from modelgate.models import files, package
from modelgate.models.manifest import Manifest
from modelgate.testing import Client

TEXTS = ["a good one", "a bad one"] * 5
LABELS = ["yes", "no"] * 5


def fitted(vectorizer, source="filename"):
    """A pipeline as its author fits it on files: the vectorizer is told afterwards what it is given."""
    pipe = make_pipeline(vectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    pipe[0].set_params(input=source)
    return pipe


class Holder(ClassifierMixin, BaseEstimator):
    """An estimator that somebody wrote."""

    def __init__(self, part=None):
        self.part = part

    def predict(self, X):
        return np.zeros(len(X))


class Slots:
    __slots__ = ("part",)

    def __init__(self, part):
        self.part = part


def circular(part):
    one = [part]
    one.append(one)
    return one


def array_of(part):
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
    "array": lambda part: Holder(array_of(part)),
    "record array": lambda part: Holder(np.array([(1, part)], dtype=[("a", int), ("b", object)])),
    "slots": lambda part: Holder(Slots(part)),
    "circle": lambda part: Holder(circular(part)),
    "method": lambda part: Holder(part.transform),
    "partial": lambda part: Holder(partial(print, part)),
    "closure": lambda part: Holder(lambda rows: part.transform(rows)),
    "default": lambda part: Holder(lambda rows, by=part: by.transform(rows)),
    "frame": lambda part: Holder(pd.DataFrame({"a": [part]}, dtype=object)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("source", ["filename", "file", np.array("filename")], ids=str)
def test_a_reader_is_found_wherever_it_stands(place, source):
    """The gate is not made: an estimator in memory is searched as a file is."""
    model = PLACES[place](CountVectorizer(input=source))
    with pytest.raises(ConfigurationError, match=r"CountVectorizer\(input=.*input=\"content\""):
        Gate([Deployment("m", model)], keys="open")


@pytest.mark.parametrize("place", PLACES)
def test_a_reader_of_texts_is_none(place):
    """What is sent is the text."""
    files.check_opens_no_files(PLACES[place](TfidfVectorizer()))


def test_the_place_is_named():
    """Steps and attributes lead to it, and the message says what to do."""
    model = Pipeline([("columns", ColumnTransformer([("note", READER, "note")])), ("last", Holder())])
    with pytest.raises(ConfigurationError) as info:
        files.check_opens_no_files(model)

    assert (
        "CountVectorizer(input='filename') at steps > columns > transformers > note opens files that callers name:"
        ' fit it on texts, with input="content"'
    ) == str(info.value)


def test_the_model_itself():
    """It needs no place."""
    with pytest.raises(ConfigurationError, match=r"^CountVectorizer\(input='filename'\) opens files"):
        files.check_opens_no_files(READER)


def around(model):
    def handler(table):
        return model.predict(table["text"])

    return handler


@pytest.mark.parametrize("wrapped", [around, lambda it: partial(around, it), lambda it: it.predict])
def test_a_function_around_a_reader(wrapped):
    """Its closure, its arguments and its object are looked at."""
    with pytest.raises(ConfigurationError, match="opens files"):
        Gate([Deployment("m", wrapped(fitted(CountVectorizer)), Schema.of(text=str))], keys="open")


def test_a_function_beside_a_large_object():
    """The search is bounded: a closure over a whole app delays no start."""
    handler = around([[at] for at in range(200_000)])
    files.check_opens_no_files(handler)

    assert callable(handler)


@pytest.fixture(params=[CountVectorizer, TfidfVectorizer, HashingVectorizer])
def reader(request):
    return fitted(request.param)


@pytest.fixture(params=["skops", "joblib", "package", "package of a pickle"])
def path(request, reader, tmp_path, monkeypatch):
    """A file with a reader in it, as modelgate itself writes none."""
    if request.param == "skops":
        skops.io.dump(reader, tmp_path / "m.skops")
        return tmp_path / "m.skops"
    if request.param == "joblib":
        joblib.dump(reader, tmp_path / "m.joblib")
        return tmp_path / "m.joblib"
    # It answers its example: there are such files.
    monkeypatch.chdir(tmp_path)
    for text in TEXTS:
        Path(text).write_text(text)
    format_ = "skops" if request.param == "package" else "joblib"
    with monkeypatch.context() as patch:
        for module in (files, package):
            patch.setattr(module, "check_opens_no_files", lambda model: None)
        packed = ModelPackage.from_estimator(reader, pd.DataFrame({"text": TEXTS}), format=format_)
        packed.save(tmp_path / "m.mgpkg")
    return tmp_path / "m.mgpkg"


def test_a_file_is_not_loaded(path):
    """In no format, pinned and trusted or not; a gate answers 503."""
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(
        ConfigurationError, match=r"m\.\w+'.*Vectorizer\(input='filename'\) at steps > \w+ opens"
    ):
        ModelPackage.load(path, sha256=pin, allow_pickle=True)
    deployment = Deployment("m", f"store:{path.stem}", sha256=pin)
    store = modelgate.FolderStore(path.parent, sha256={"m": pin}, allow_pickle=True)
    answer = Client(Gate([deployment], keys="open", store=store).wsgi).post("/simple/m", json={"text": "a"})

    assert 503 == answer.status


def test_inspect_reports_it(path):
    """As what a gate would reject; nothing of it is run."""
    told = click.testing.CliRunner().invoke(cli, ["inspect", str(path), "--trusted"])

    assert 0 == told.exit_code
    assert "warning    a gate would refuse it:" in told.stdout
    assert 'opens files that callers name: fit it on texts, with input="content"' in told.stdout


def test_doctor_reports_it(path, tmp_path, monkeypatch):
    """As a model that cannot be loaded."""
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "readers_app.py").write_text(
        "from modelgate import Deployment, FolderStore, Gate\n"
        f"store = FolderStore({str(tmp_path)!r}, sha256={{'m': {pin!r}}}, allow_pickle=True)\n"
        f"gate = Gate([Deployment('m', 'store:m', sha256={pin!r})], keys='open', store=store)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "readers_app", raising=False)
    told = click.testing.CliRunner().invoke(cli, ["doctor", "readers_app:gate", "--json"])
    found = [each for each in json.loads(told.stdout) if each["about"] == "m"]

    assert 1 == told.exit_code
    assert "opens files that callers name" in found[0]["what"]


def test_a_package_is_not_made(reader):
    """What no gate would load is not packed, and none of the files that its rows name is opened."""
    with pytest.raises(ConfigurationError, match="opens files that callers name"):
        ModelPackage.from_estimator(reader, pd.DataFrame({"text": TEXTS}))


def test_a_package_is_not_written(reader, tmp_path):
    """A model may be changed after it was packed."""
    reader[0].set_params(input="content")
    packed = ModelPackage.from_estimator(reader, pd.DataFrame({"text": TEXTS}))
    reader[0].set_params(input="filename")
    with pytest.raises(ConfigurationError, match="opens files that callers name"):
        packed.save(tmp_path / "m.mgpkg")


@pytest.mark.parametrize(
    "wrapped", [lambda it: it, lambda it: ModelPackage(it, Manifest(name="m", format=1))]
)
def test_a_store_in_memory(reader, wrapped):
    """Its estimators and packages are searched when they are loaded."""
    gate = Gate([Deployment("m", "store:m")], keys="open", store=MemoryStore({"m": wrapped(reader)}))

    with pytest.raises(DeploymentUnavailable) as info:
        gate.warm()

    assert "opens files that callers name" in str(info.value.__cause__)


def test_a_score_without_a_server(reader):
    """It checks what a gate does."""
    with pytest.raises(ConfigurationError, match="opens files that callers name"):
        modelgate.score(reader, {"text": "a"})
