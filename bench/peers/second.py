"""Model that takes a second to predict, mostly without the GIL, like scikit-learn."""

import time

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin


class Second(RegressorMixin, BaseEstimator):
    """Sort numbers for a second."""

    def fit(self, rows, target):
        self.n_features_in_ = np.shape(rows)[1]
        return self

    def predict(self, rows):
        numbers, end = np.random.default_rng(0).normal(size=200_000), time.perf_counter() + 1
        while time.perf_counter() < end:
            np.sort(numbers)
        return np.zeros(len(rows))
