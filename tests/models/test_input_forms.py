"""Form of the rows that a model gets: a frame, an array, dictionaries or texts."""

import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelgate import Column, ConfigurationError, Deployment, Gate, ModelPackage, Schema
from support.category_frame import BINARY, PLAIN, SHUFFLED, assert_predicts, score

NUMBERS = PLAIN[["age", "rooms"]]
RECORDS = PLAIN.to_dict("records")
TEXTS = ["Good day", "bad night"] * 20
SCHEMA = Schema.from_sample(PLAIN)


class Picks(TransformerMixin, BaseEstimator):
    """Transformer as scikit-learn's guide shows it: it stores nothing about its columns."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["age", "rooms"]]


class Classifier(ClassifierMixin, BaseEstimator):
    """Classifier whose labels are a list, and whose probabilities have any type."""

    def __init__(self, convert=None):
        self.convert = convert

    def fit(self, X, y):
        self.classes_ = ["no", "yes"]
        return self

    def predict(self, X):
        return np.where(X["age"] > 40, "yes", "no")

    def predict_proba(self, X):
        probability = 1 / (1 + np.exp(40 - X["age"].to_numpy()))
        return self.convert(np.column_stack([1 - probability, probability]))


def lower(texts):
    return [text.lower() for text in texts]


@pytest.mark.parametrize("rows", [PLAIN, SHUFFLED], ids=["training order", "another order"])
@pytest.mark.parametrize("form", [None, "frame"])
def test_transformer_that_needs_a_frame(form, rows):
    model = make_pipeline(Picks(), LogisticRegression()).fit(PLAIN, BINARY)

    assert_predicts(model, rows, model.predict(PLAIN), model.predict_proba(PLAIN), schema=SCHEMA, input=form)


def test_text_columns_of_a_frame_have_the_dtype_of_pandas():
    dtypes = []

    class Recorder:
        def predict(self, frame):
            dtypes.append(frame["city"].dtype)
            return frame["age"].to_numpy()

    assert_predicts(Recorder(), PLAIN, PLAIN["age"], schema=SCHEMA)
    assert {pandas.Series(["text"]).dtype} == set(dtypes)


@pytest.mark.parametrize("first", [DictVectorizer(), FeatureHasher(64)], ids=lambda step: type(step).__name__)
def test_vectorizer_of_dictionaries(first):
    model = make_pipeline(first, LogisticRegression()).fit(RECORDS, BINARY)

    assert_predicts(model, PLAIN, model.predict(RECORDS), model.predict_proba(RECORDS), schema=SCHEMA)


def test_dictionaries_lack_optional_columns():
    """A feature without a value is not the same as one whose value is null."""
    columns = [Column("age"), Column("city", "text", required=False), Column("rooms", nullable=True)]
    rows = [{"age": 1.0, "rooms": None}, {"age": 2.0, "city": "rome", "rooms": 3.0}]
    records = []

    class Recorder:
        def predict(self, rows):
            records[:] = rows
            return np.array([row["age"] for row in rows])

    score(Recorder(), rows, schema=Schema(columns), input="records")
    assert rows == records


@pytest.mark.parametrize(
    "steps",
    [[TfidfVectorizer()], [FunctionTransformer(lower), TfidfVectorizer()]],
    ids=["vectorizer", "function"],
)
def test_texts(steps):
    model = make_pipeline(*steps, LogisticRegression()).fit(TEXTS, [1, 0] * 20)
    rows = [{"text": text} for text in TEXTS]

    assert_predicts(model, rows, model.predict(TEXTS), model.predict_proba(TEXTS), schema=Schema.of(text=str))


def test_array_for_a_model_that_takes_arrays_and_frames():
    """Nothing says which one is right; models without names were most likely trained on an array."""
    forms = set()

    class Either:
        def predict(self, rows):
            forms.add(type(rows))
            return np.asarray(rows)[:, 0]

    assert_predicts(Either(), NUMBERS, NUMBERS["age"], schema=Schema.of(age=float, rooms=int))
    assert {np.ndarray} == forms


@pytest.mark.parametrize(
    ("form", "expected"), [("frame", pandas.DataFrame), ("array", np.ndarray), ("records", list)]
)
def test_option_decides(form, expected):
    forms = set()

    class Any:
        def predict(self, rows):
            forms.add(type(rows))
            return np.zeros(len(rows))

    score(Any(), NUMBERS, schema=Schema.of(age=float, rooms=int), input=form)
    assert {expected} == forms


def test_array_option_for_a_model_with_names():
    """The columns keep the order of the model."""
    model = make_pipeline(FunctionTransformer(np.asarray), StandardScaler(), LogisticRegression())
    model.fit(NUMBERS, BINARY)

    assert_predicts(
        model, SHUFFLED, model.predict(NUMBERS), model.predict_proba(NUMBERS), schema=SCHEMA, input="array"
    )


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Picks(), {"input": "table"}, "input must be None, 'frame', 'array', 'records' or 'texts'"),
        (len, {"input": "frame", "schema": SCHEMA}, "input must be None for a function"),
        (
            make_pipeline(Picks(), LogisticRegression()).fit(PLAIN, BINARY),
            {"input": "array", "schema": SCHEMA},
            "deployment m: model must be able to score a row of its schema .got IndexError.* set input= to the form",
        ),
        (
            make_pipeline(Picks(), LogisticRegression()).fit(PLAIN, BINARY),
            {"input": "texts", "schema": SCHEMA},
            "schema must have a single text column",
        ),
    ],
    ids=["unknown form", "function", "wrong form", "texts"],
)
def test_wrong_option_is_rejected(model, options, message):
    with pytest.raises(ConfigurationError, match=message):
        Gate([Deployment("m", model, **options)], keys="open")


def test_example_is_tried():
    """It shows the form where synthetic rows cannot."""

    class Picky:
        def predict(self, frame):
            return [{"A-1": 1.0, "B-2": 2.0}[code] for code in frame["code"]]

    schema, example = Schema.of(code=str), {"code": "A-1"}

    assert [2.0] == score(Picky(), {"code": "B-2"}, schema=schema, example=example).values.tolist()


@pytest.mark.parametrize(
    "convert",
    [lambda values: pandas.DataFrame(values, columns=["no", "yes"]), np.ndarray.tolist, np.asarray],
    ids=["frame", "list", "array"],
)
def test_probabilities_and_labels_of_own_classes(convert):
    model = Classifier(convert).fit(PLAIN, BINARY)
    expected = np.asarray(model.predict_proba(PLAIN))

    assert_predicts(model, PLAIN, model.predict(PLAIN), expected, schema=SCHEMA)
    assert ["no", "yes"] == score(model, PLAIN, schema=SCHEMA).classes
    package = ModelPackage.from_estimator(model, PLAIN, schema=SCHEMA, format="joblib")
    assert [["no", "yes"]] == package.manifest.classes


@pytest.mark.parametrize("mixture", [GaussianMixture, BayesianGaussianMixture])
def test_mixture_has_probabilities_of_its_components(mixture):
    steps = [StandardScaler(), mixture(n_components=3, random_state=0)]

    for model in (steps[1], make_pipeline(*steps)):
        model.fit(NUMBERS)
        assert_predicts(model, NUMBERS, model.predict(NUMBERS), model.predict_proba(NUMBERS))
        assert [0, 1, 2] == score(model, NUMBERS).classes


def test_package_of_a_model_that_needs_a_frame(tmp_path):
    model = make_pipeline(DictVectorizer(), LogisticRegression()).fit(RECORDS, BINARY)
    ModelPackage.from_estimator(model, PLAIN, BINARY, schema=SCHEMA).save(tmp_path / "m.mgpkg")

    assert_predicts(tmp_path / "m.mgpkg", PLAIN, model.predict(RECORDS), model.predict_proba(RECORDS))
