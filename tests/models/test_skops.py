"""Every estimator of scikit-learn as a skops file, or the reason why it cannot be stored in one."""

import contextlib
import warnings

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

from modelgate import ConfigurationError
from modelgate.models.skops_file import write_skops

pytestmark = pytest.mark.slow

REJECTED = {"Birch": "Objects of type Birch are not supported yet"}
"""Reasons by estimator: skops does not write the cycles in a Birch."""

X = np.random.default_rng(0).random((60, 4)) + 0.1
LABELS = (X[:, 0] > X[:, 1]).astype(int)
ROWS_AND_TARGETS = [
    (X, LABELS),
    (X, X[:, 0] * 2 + X[:, 1]),
    (X, np.column_stack([LABELS, X[:, 2] > 0.5]).astype(int)),
    (X, None),
    (X[:, 0], X[:, 1]),
    (["one two", "two three"] * 30, None),
    ([{"a": 1}, {"b": 2}] * 30, None),
    ([["a"], ["b", "c"]] * 30, None),
    (X @ X.T, None),
    (LABELS, None),
]

HASHED_ROWS = {
    "FeatureHasher": [{"a": 1}, {"b": 2}],
    "HashingVectorizer": ["one two"],
    "PatchExtractor": X[None],
}
"""Rows of transformers that learn nothing, and so are fitted on anything."""

ARGUMENTS = {
    "IterativeImputer": {},
    "PatchExtractor": {"patch_size": (2, 2)},
    "SelectKBest": {"k": 2},
    "RANSACRegressor": {"estimator": Ridge(), "min_samples": 20, "random_state": 0},
    "GaussianRandomProjection": {"n_components": 2},
    "SparseRandomProjection": {"n_components": 2},
    "ColumnTransformer": {"transformers": [("scaler", StandardScaler(), [0])]},
    "FeatureUnion": {"transformer_list": [("scaler", StandardScaler())]},
    "Pipeline": {"steps": [("model", LogisticRegression())]},
    "SparseCoder": {"dictionary": np.eye(4)},
    "FrozenEstimator": {"estimator": LogisticRegression().fit(X, LABELS)},
    **{
        f"{halving}{kind}SearchCV": {"estimator": LogisticRegression(), parameters: {"C": [0.1, 1.0]}}
        for halving in ("", "Halving")
        for kind, parameters in (("Grid", "param_grid"), ("Random", "param_distributions"))
    },
}
ARGUMENTS["RandomizedSearchCV"] = {**ARGUMENTS.pop("RandomSearchCV"), "n_iter": 2}


def make_estimator(name, cls):
    final = Ridge() if name.endswith(("Regressor", "RegressorChain")) else LogisticRegression()
    choices = (
        {"estimators": [("a", final), ("b", final)]},
        {"estimator": final},
        {"base_estimator": final},  # chains in scikit-learn 1.6
        {},
    )
    for arguments in [ARGUMENTS[name]] if name in ARGUMENTS else choices:
        with contextlib.suppress(TypeError):
            return cls(**arguments)
    raise TypeError(name)


def fit(model):
    """Return the rows on which *model* could be fitted."""
    if type(model).__name__ in HASHED_ROWS:
        return HASHED_ROWS[type(model).__name__]
    errors = []
    for rows, targets in ROWS_AND_TARGETS:
        try:
            model.fit(rows) if targets is None else model.fit(rows, targets)
            return rows
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("fits nothing", errors)


@pytest.mark.parametrize(("name", "cls"), [pytest.param(*pair, id=pair[0]) for pair in all_estimators()])
def test_estimator_as_a_skops_file(name, cls):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_estimator(name, cls)
        rows = fit(model)
        if name in REJECTED:
            with pytest.raises(ConfigurationError, match=REJECTED[name] + r'.*format="joblib"'):
                write_skops(model)
            return
        loaded = write_skops(model)[1]
        for method in ("predict", "predict_proba", "transform"):
            if hasattr(model, method):
                assert_equal(getattr(model, method)(rows), getattr(loaded, method)(rows))


def assert_equal(expected, actual):
    if isinstance(expected, list | tuple):
        assert len(expected) == len(actual)
        for one, other in zip(expected, actual, strict=True):
            assert_equal(one, other)
    elif hasattr(expected, "toarray"):
        assert np.array_equal(expected.toarray(), actual.toarray())
    elif expected.dtype.kind == "f":
        # BLAS rounds differently if arrays begin elsewhere in memory.
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)
    else:
        assert np.array_equal(expected, actual)
