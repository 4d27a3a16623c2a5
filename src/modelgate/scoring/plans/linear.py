"""Linear models, and what is one behind a link."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .links import imported_expit, labels_of, softmax, two_classes
from .parts import (
    Answer,
    Answering,
    NoPlan,
    NotPlanned,
    Numbers,
    Reading,
    Source,
    predictor,
    refuse_nonfinite,
)

__all__ = ["scoring"]

_MOST_PRODUCTS = 1_000_000
"""How many products of a sparse matrix are worth keeping in memory: 8 MB."""


def scoring(step: Any, source: Source, weights: Numbers, intercept: Any) -> Reading:
    """Rows times *weights*, and *intercept*."""
    dot = _dot_sparse if source.sparse else np.matmul
    return partial(_score, source.numbers(step, sparse=True), dot, weights, intercept)


def _score(
    read: Reading, dot: Callable[[Numbers, Numbers], Numbers], weights: Numbers, intercept: Any, table: Table
) -> Numbers:
    block = read(table)
    refuse_nonfinite(block)
    scores: Numbers = dot(block, weights) + intercept
    return scores


def _dot_sparse(block: Numbers, weights: Numbers) -> Numbers:
    """As SciPy multiplies a sparse matrix: product by product, in the order of the columns."""
    weights = weights if weights.ndim == 2 else weights[:, None]
    if len(block) * weights.size > _MOST_PRODUCTS:
        raise NotPlanned
    scores: Numbers = np.add.accumulate(block[:, :, None] * weights, axis=1)[:, -1]
    return scores


@predictor("sklearn.linear_model._base", "LinearRegression")
@predictor("sklearn.linear_model._ridge", "Ridge", "RidgeCV")
@predictor("sklearn.linear_model._coordinate_descent", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV")
@predictor("sklearn.linear_model._bayes", "BayesianRidge", "ARDRegression")
@predictor("sklearn.linear_model._huber", "HuberRegressor")
@predictor("sklearn.linear_model._quantile", "QuantileRegressor")
@predictor("sklearn.linear_model._stochastic_gradient", "SGDRegressor")
@predictor("sklearn.svm._classes", "LinearSVR")
def _regressor(step: Any, source: Source) -> Answering:
    scores = scoring(step, source, step.coef_.T, step.intercept_)
    if source.sparse and step.coef_.ndim == 1:
        return lambda table: (scores(table)[:, 0], None)
    return lambda table: (scores(table), None)


@predictor("sklearn.linear_model._glm.glm", "PoissonRegressor", "GammaRegressor")
def _log_linear(step: Any, source: Source) -> Answering:
    if source.sparse:
        raise NoPlan(f"a sparse matrix reaches {type(step).__name__}")
    scores = scoring(step, source, step.coef_, step.intercept_)
    return lambda table: (np.exp(scores(table)), None)


@predictor("sklearn.linear_model._logistic", "LogisticRegression", "LogisticRegressionCV")
def _logistic(step: Any, source: Source) -> Answering:
    scores = scoring(step, source, step.coef_.T, step.intercept_)
    answer = partial(_of_two, imported_expit()) if len(step.classes_) == 2 else _of_many
    return lambda table: answer(step.classes_, scores(table))


def _of_two(expit: Callable[[Numbers], Numbers] | None, classes: Any, scores: Numbers) -> Answer:
    there = scores.reshape(-1)
    labels = classes.take(there > 0)
    return labels, None if expit is None else two_classes(expit(there))


def _of_many(classes: Any, scores: Numbers) -> Answer:
    return labels_of(classes, scores), softmax(scores)


@predictor("sklearn.linear_model._ridge", "RidgeClassifier", "RidgeClassifierCV")
@predictor("sklearn.linear_model._stochastic_gradient", "SGDClassifier")
@predictor("sklearn.linear_model._perceptron", "Perceptron")
@predictor("sklearn.svm._classes", "LinearSVC")
def _classifier(step: Any, source: Source) -> Answering:
    scores, classes = scoring(step, source, step.coef_.T, step.intercept_), step.classes_
    expit = None
    if hasattr(step, "predict_proba"):
        if step.loss != "log_loss" or len(classes) != 2:
            raise NoPlan(f"no plan for the probabilities of {type(step).__name__}")
        expit = imported_expit()
    if len(classes) == 2:
        return lambda table: _of_two(expit, classes, scores(table))
    return lambda table: (labels_of(classes, scores(table)), None)
