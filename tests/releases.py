"""Models whose every answer tells their version."""

import numpy as np
from sklearn.linear_model import LinearRegression

from modelgate import ModelPackage


def release(version, *, name="churn", columns=1, said=None):
    """The package of version *version*, which predicts just that number, or what is *said*."""
    rows = np.arange(10.0 * columns).reshape(10, columns)
    number = float(version) if said is None else said
    return ModelPackage.from_estimator(
        LinearRegression().fit(rows, np.full(10, number)), rows, name=name, version=str(version)
    )


class Broken(LinearRegression):
    """Predicts nothing."""

    def predict(self, X):
        raise ValueError("no answer")


def broken():
    rows = np.arange(10.0).reshape(10, 1)
    return Broken().fit(rows, rows[:, 0])
