"""Skops files: which types are trusted, what is left out, and that loading one calls no function."""

import contextlib
import functools
import importlib
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import BisectingKMeans, FeatureAgglomeration
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, SelectPercentile, mutual_info_classif
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.utils.validation import check_array

from modelgate import ConfigurationError, ModelPackage
from modelgate.models.load_policy import LoadPolicy
from modelgate.models.skops_file import read_skops, write_skops
from modelgate.models.trusted_types import TRUSTED
from support.versions import SKLEARN

X = np.random.default_rng(0).random((60, 4)) + 0.1
LABELS = (X[:, 0] > X[:, 1]).astype(int)
NUMBERS = X[:, 0] * 2 + X[:, 1]
FRAME = pd.DataFrame({"age": X[:, 0], "plan": np.where(LABELS, "pro", "free"), "level": LABELS + 1})
TEXTS = [["one two", "two three"][label] for label in LABELS]


def pick_best(results):
    return 0


SELECTED = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include=np.number)),
    (OneHotEncoder(), make_column_selector(dtype_include=[object, "string"])),
    (OneHotEncoder(), make_column_selector(pattern="plan")),
)

MODELS = {
    "column selector": (make_pipeline(SELECTED, LogisticRegression()), FRAME, LABELS),
    "categorical boosting": (HistGradientBoostingClassifier(categorical_features=[2], max_iter=3), FRAME[["age", "age", "level"]].to_numpy(), LABELS),
    "boosting stopped early": (HistGradientBoostingClassifier(early_stopping=True, scoring="roc_auc", max_iter=3), X, LABELS),
    "random search": (RandomizedSearchCV(LogisticRegression(), {"C": scipy.stats.loguniform(0.1, 3)}, n_iter=2, cv=TimeSeriesSplit(2)), X, LABELS),
    "random search of integers": (RandomizedSearchCV(RandomForestClassifier(3), {"max_depth": scipy.stats.randint(1, 4)}, n_iter=2), X, LABELS),
    "search with a scorer": (GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, scoring=make_scorer(fbeta_score, beta=2)), X, LABELS),
    "search with a function as scorer": (GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, scoring=lambda model, X, y: 1.0), X, LABELS),
    "search with a function as refit": (GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, refit=pick_best), X, LABELS),
    "halving search": (HalvingGridSearchCV(LogisticRegression(), {"C": [0.1, 1]}), X, LABELS),
    "mutual information": (make_pipeline(SelectKBest(mutual_info_classif, k=2), LogisticRegression()), X, LABELS),
    "own score function": (make_pipeline(SelectPercentile(lambda X, y: X.sum(axis=0)), LogisticRegression()), X, LABELS),
    "iterative imputer": (make_pipeline(IterativeImputer(), LogisticRegression()), np.where(X > 0.9, np.nan, X), LABELS),
    "splines": (make_pipeline(SplineTransformer(), Ridge()), X, NUMBERS),
    "Gaussian process": (GaussianProcessRegressor(ConstantKernel() * RBF() + Matern() + WhiteKernel(), optimizer=None), X, NUMBERS),
    "Gaussian process classifier": (GaussianProcessClassifier(), X, LABELS),
    "Tweedie": (TweedieRegressor(power=1.5), X, NUMBERS),
    "bisecting k-means": (BisectingKMeans(3), X, None),
    "agglomerated columns": (make_pipeline(FeatureAgglomeration(2, pooling_func=np.median), Ridge()), X, NUMBERS),
    "label that is always present": (OneVsRestClassifier(LogisticRegression()), X, np.column_stack([LABELS * 0 + 1, LABELS])),
    "neighbors by another distance": (KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"), X, LABELS),
    "neighbors of texts": (make_pipeline(TfidfVectorizer(), KNeighborsClassifier()), TEXTS, LABELS),
    "stochastic gradient descent": (MLPRegressor(solver="sgd", max_iter=3), X, NUMBERS),
    "clipped": (make_pipeline(FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 0.5}), Ridge()), X, NUMBERS),
}  # fmt: skip


if SKLEARN >= (1, 5):
    from sklearn.model_selection import TunedThresholdClassifierCV

    scorer = make_scorer(fbeta_score, beta=2, pos_label=0)
    MODELS["tuned threshold"] = (TunedThresholdClassifierCV(LogisticRegression()), X, LABELS)
    MODELS["tuned threshold with a scorer"] = (
        TunedThresholdClassifierCV(LogisticRegression(), scoring=scorer),
        X,
        LABELS,
    )

if SKLEARN >= (1, 8):
    MODELS["calibrated by temperature"] = (
        CalibratedClassifierCV(LogisticRegression(), method="temperature"),
        X,
        LABELS,
    )


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:Label 0 is present in all")
@pytest.mark.parametrize("name", MODELS)
def test_model_predicts_the_same_after_loading(name):
    """Models with parts that skops does not trust; tests/models/test_skops.py has all estimators."""
    model, rows, targets = MODELS[name]
    content, loaded = write_skops(model.fit(rows, targets))

    for method in ("predict", "predict_proba"):
        if hasattr(model, method):
            expected = getattr(model, method)(rows)
            for read in (loaded, read_skops(content, LoadPolicy())):
                # BLAS rounds differently if arrays begin elsewhere in memory.
                np.testing.assert_allclose(getattr(read, method)(rows), expected, rtol=1e-12, atol=1e-13)


def test_untrusted_parts_for_fitting_are_left_out():
    """Only where they are not trusted."""
    search = GridSearchCV(
        make_pipeline(SelectKBest(mutual_info_classif, k=2), LogisticRegression()),
        {"selectkbest__k": [1, 2]},
        scoring=make_scorer(fbeta_score, beta=2),
        cv=StratifiedKFold(3),
        refit=pick_best,
    ).fit(X, LABELS)
    loaded = write_skops(search)[1]

    assert (True, None) == (loaded.refit, loaded.best_estimator_[0].score_func)
    assert 3 == loaded.cv.n_splits
    if SKLEARN >= (1, 4):  # before, scorers are instances of types that are not trusted
        assert 2 == loaded.scorer_._kwargs["beta"]
    assert {"selectkbest__k": [1, 2]} == loaded.param_grid
    assert search.best_estimator_[0].score_func is mutual_info_classif


def test_skops_files_made_elsewhere_are_read_likewise(tmp_path):
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=lambda model, X, y: 1.0).fit(X, LABELS)
    skops.io.dump(search, tmp_path / "search.skops")
    loaded = ModelPackage.load(tmp_path / "search.skops").model

    assert loaded.scoring is None
    assert np.array_equal(search.predict_proba(X), loaded.predict_proba(X))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (make_pipeline(FunctionTransformer(pick_best), Ridge()), f"{__name__}.pick_best"),
        (KNeighborsClassifier(weights=lambda distances: 1 / (distances + 1)), f"{__name__}.<lambda>"),
    ],
)
def test_untrusted_functions_for_predicting_are_rejected(tmp_path, model, names):
    """When it is packed and when it is read, with what to do."""
    skops.io.dump(model, tmp_path / "m.skops")
    with pytest.raises(ConfigurationError) as packed:
        write_skops(model)
    with pytest.raises(ConfigurationError) as read:
        ModelPackage.load(tmp_path / "m.skops")

    problem = f"the file contains types that are not trusted ({names}): "
    assert f'model: {problem}use format="joblib", which writes a pickle' == str(packed.value)
    assert str(read.value).endswith(
        f"{problem}save it with joblib and pin the file with sha256=,"
        ' or make a package with format="joblib", which writes a pickle'
    )


def test_version_is_compared_before_types(monkeypatch):
    """A file of another version may contain types that do not exist any more."""
    content = skops.io.dumps(make_pipeline(FunctionTransformer(pick_best), Ridge()))
    installed = sklearn.__version__
    monkeypatch.setattr(sklearn, "__version__", "99.1.0")

    with pytest.raises(
        ConfigurationError,
        match=rf"^the model was saved with scikit-learn {installed}, but 99\.1\.0 is installed: save the model again, or pass"
        r' on_version_mismatch="warn" to ModelPackage\.load or to the store$',
    ):
        read_skops(content, LoadPolicy())


def make_state(value):
    """Return the members from which skops creates *value*."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))) as archive:
        return json.loads(archive.read("schema.json"))


def make_file(state):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(state))
    return buffer.getvalue()


def name_of(function):
    return {"__module__": function.__module__, "__class__": function.__name__}


def call_as(loader):
    """A state whose loader calls the function with a list of values."""
    return make_state(("text",)) | {"__loader__": loader} | name_of(check_array)


def call_as_constructor(loader):
    """A state whose loader calls the function with arguments."""
    arguments = make_state(("text",))
    state = {"content": arguments, "__reduce__": {"args": arguments}, "protocol": arguments["protocol"]}
    return state | {"__loader__": loader} | name_of(check_array)


def call_with_key(key_type):
    """A dict whose key is created by calling *key_type*."""
    state = make_state({"text": 1})
    state["key_types"]["content"] = [make_state(key_type)]
    return state


def call_with_key_of_the_same_id():
    """A dict whose list of key types has the id of another one, which skops uses instead."""
    hidden = make_state([functools.partial(check_array, dtype=None)])
    honest = make_state({"text": 1})
    honest["key_types"]["__id__"] = hidden["__id__"]
    return make_state([1, 2]) | {"content": [hidden, honest]}


HOSTILE = {
    "list": lambda: call_as("ListNode"),
    "set": lambda: call_as("SetNode"),
    "constructor": lambda: call_as_constructor("ConstructorFromReduceNode"),
    "loss": lambda: call_as_constructor("LossNode"),
    "function of a key": lambda: call_with_key(check_array),
    "partial of a key": lambda: call_with_key(functools.partial(check_array)),
    "hidden partial of a key": call_with_key_of_the_same_id,
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_no_trusted_function_is_called(attack, monkeypatch):
    """skops calls it if it trusts the same names."""
    calls = []
    content = make_file(HOSTILE[attack]())
    monkeypatch.setattr(sklearn.utils.validation, "check_array", lambda *args, **options: calls.append(args))
    with contextlib.suppress(Exception):
        skops.io.loads(content, trusted=list(TRUSTED))
    assert len(calls) == 1

    with pytest.raises(ConfigurationError, match=r"not trusted \("):
        read_skops(content, LoadPolicy())
    assert len(calls) == 1


@pytest.mark.parametrize("name", TRUSTED)
def test_trusted_names_exist(name):
    """In this version of scikit-learn and SciPy, or in one that is known to have them."""
    module, _, attribute = name.rpartition(".")
    other_versions = {
        "_Scorer": "1.4",
        "_CurveScorer": "1.5",
        "_RemainderColsList": "1.7",
        "_TemperatureScaling": "1.8",
        "asarray": "1.9",
        "csr_array": "1.11 of SciPy",
    }
    if attribute not in other_versions and module != "sklearn.ensemble._gb_losses":  # until 1.3
        assert hasattr(importlib.import_module(module), attribute)
