"""Every estimator of scikit-learn that predicts, fitted on an array and on a DataFrame."""

import warnings

import numpy as np
import pandas
import pytest
from sklearn.base import is_classifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  registers the halving searches
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from modelgate import ConfigurationError
from support.answers import BLAS, EXACT, assert_same_predictions, request_predictions
from support.fitting import quiet_fit
from support.versions import SKLEARN

ROWS = np.random.default_rng(0).integers(0, 9, size=(40, 3)) + np.array([0, 0.25, 0.5])
FRAME = pandas.DataFrame(ROWS, columns=["width", "height", "depth"])
NUMBERS = ROWS @ [1, 2, 3] + np.sin(ROWS[:, 0])
LABELS = np.array(["low", "middle", "high"])[np.digitize(NUMBERS, np.quantile(NUMBERS, [0.3, 0.7]))]
PAIRS = np.column_stack([NUMBERS > 25, ROWS[:, 0] > 4]).astype(int)

TREE, LOGISTIC = DecisionTreeClassifier(max_depth=3), LogisticRegression(max_iter=1000)
NUMBER_TREE, LINEAR = DecisionTreeRegressor(max_depth=3), LinearRegression()
ARGUMENTS = {
    "FixedThresholdClassifier": {"estimator": LOGISTIC},
    "FrozenEstimator": {"estimator": TREE},
    "GridSearchCV": {"estimator": TREE, "param_grid": {"max_depth": [1, 2]}, "cv": 2},
    "HalvingGridSearchCV": {"estimator": TREE, "param_grid": {"max_depth": [1, 2]}, "cv": 2},
    "HalvingRandomSearchCV": {"estimator": TREE, "param_distributions": {"max_depth": [1, 2]}, "cv": 2},
    "LocalOutlierFactor": {"novelty": True},
    "MultiOutputClassifier": {"estimator": LOGISTIC},
    "MultiOutputRegressor": {"estimator": LINEAR},
    "OneVsOneClassifier": {"estimator": LOGISTIC},
    "OneVsRestClassifier": {"estimator": LOGISTIC},
    "OrthogonalMatchingPursuitCV": {"cv": 2},
    "OutputCodeClassifier": {"estimator": LOGISTIC},
    "Pipeline": {"steps": [("tree", TREE)]},
    "RFE": {"estimator": TREE},
    "RFECV": {"estimator": TREE, "cv": 2},
    "RandomizedSearchCV": {
        "estimator": TREE,
        "param_distributions": {"max_depth": [1, 2]},
        "n_iter": 1,
        "cv": 2,
    },
    "StackingClassifier": {"estimators": [("a", TREE), ("b", LOGISTIC)], "cv": 2},
    "StackingRegressor": {"estimators": [("a", NUMBER_TREE), ("b", LINEAR)], "cv": 2},
    "TunedThresholdClassifierCV": {"estimator": LOGISTIC, "cv": 2},
    "VotingClassifier": {"estimators": [("a", TREE), ("b", LOGISTIC)]},
    "VotingRegressor": {"estimators": [("a", NUMBER_TREE), ("b", LINEAR)]},
}
"""Arguments of estimators that need some."""

POSITIONAL = {"ClassifierChain": [LOGISTIC], "RegressorChain": [LINEAR], "SelfTrainingClassifier": [LOGISTIC]}
"""Arguments that older versions of scikit-learn give another name."""

SMALL = {"n_estimators": 5, "max_iter": 50, "max_iters": 50, "n_clusters": 3, "n_components": 2, "cv": 2}
"""Arguments that make fitting fast, where an estimator has them."""

TARGETS = {
    "CCA": np.column_stack([NUMBERS, ROWS[:, 0]]),
    "FixedThresholdClassifier": PAIRS[:, 0],
    "SelfTrainingClassifier": PAIRS[:, 0],
    "TunedThresholdClassifierCV": PAIRS[:, 0],
    **dict.fromkeys(["ClassifierChain", "MultiOutputClassifier"], PAIRS),
    **dict.fromkeys(
        [
            "MultiOutputRegressor",
            "MultiTaskElasticNet",
            "MultiTaskElasticNetCV",
            "MultiTaskLasso",
            "MultiTaskLassoCV",
            "PLSCanonical",
            "RegressorChain",
        ],
        np.column_stack([NUMBERS, ROWS[:, 0]]),
    ),
}
"""Targets of estimators that do not take three labels or one number."""

EXPECTED_REJECTIONS = {
    "IsotonicRegression": "does not store its input columns: fit the model, or set schema="
}
"""Messages by estimator."""

if SKLEARN < (1, 5):
    for estimator_name in ("DummyClassifier", "DummyRegressor"):
        EXPECTED_REJECTIONS[estimator_name] = EXPECTED_REJECTIONS["IsotonicRegression"]

CASES = [pytest.param(*item, id=item[0]) for item in all_estimators() if hasattr(item[1], "predict")]


def make_estimator(name, kind):
    """Return an unfitted estimator that is fast, and the same in each run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of estimators that a later version removes
        estimator = kind(*POSITIONAL.get(name, ()), **ARGUMENTS.get(name, {}))
    parameters = estimator.get_params(deep=False)
    small = {
        key: value for key, value in SMALL.items() if key in parameters and name not in ARGUMENTS | POSITIONAL
    }
    if "random_state" in parameters:
        small["random_state"] = 0
    return estimator.set_params(**small)


def find_tolerance(kind):
    """Return the tolerance of an estimator: trees sum in the same order for any input."""
    is_tree = any(word in kind.__module__ for word in ("tree", "_forest", "_gb", "_hist_gradient"))
    return EXACT if is_tree else BLAS


@pytest.mark.filterwarnings("ignore:X does not have valid feature names, but LocalOutlierFactor")  # its own
@pytest.mark.parametrize("form", ["array", "frame"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_estimator_is_answered_as_it_answers_itself(name, kind, form):
    estimator = make_estimator(name, kind)
    rows = {"array": ROWS, "frame": FRAME}[form]
    if name == "IsotonicRegression":
        rows = rows[:, :1] if form == "array" else rows[["width"]]
    model = quiet_fit(estimator, rows, TARGETS.get(name, LABELS if is_classifier(estimator) else NUMBERS))

    if name in EXPECTED_REJECTIONS:
        with pytest.raises(ConfigurationError, match=EXPECTED_REJECTIONS[name]):
            request_predictions(model, rows)
    else:
        assert_same_predictions(model, rows, find_tolerance(kind))
