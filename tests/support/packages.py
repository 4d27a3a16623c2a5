"""Models for the tests whose predictions identify their version, and models that fail."""

from functools import cache

import numpy as np
from sklearn.linear_model import LinearRegression

from modelgate import ModelPackage


@cache
def make_package(version, *, name="churn", columns=1, prediction=None):
    """Make a package whose model always predicts *prediction*, by default the number of *version*."""
    rows = np.arange(10.0 * columns).reshape(10, columns)
    number = float(version) if prediction is None else prediction
    return ModelPackage.from_estimator(
        LinearRegression().fit(rows, np.full(10, number)), rows, name=name, version=str(version)
    )


class BrokenModel(LinearRegression):
    """A regression whose predictions all fail."""

    def predict(self, X):
        raise TypeError("no answer")


def fit_broken_model():
    """Return a fitted model that fails for every row."""
    rows = np.arange(10.0).reshape(10, 1)
    return BrokenModel().fit(rows, rows[:, 0])
