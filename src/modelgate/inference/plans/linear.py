"""Plans for linear models and generalized linear models."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .base import (
    FallBack,
    FeatureSource,
    Numbers,
    PlanOutput,
    PredictFn,
    ReadFn,
    Unplannable,
    register_predictor,
    reject_nonfinite,
)
from .link_functions import argmax_labels, binary_probabilities, load_expit, softmax

__all__ = ["score_reader"]

_MAX_PRODUCTS = 1_000_000
"""Largest number of products in an array that replaces a sparse multiplication: 8 MB."""


def score_reader(step: Any, source: FeatureSource, weights: Numbers, intercept: Any) -> ReadFn:
    """Return a function that multiplies the input of *step* by *weights* and adds *intercept*."""
    dot = _dot_sparse if source.sparse else np.matmul
    return partial(_score, source.number_reader(step, sparse=True), dot, weights, intercept)


def _score(
    read: ReadFn, dot: Callable[[Numbers, Numbers], Numbers], weights: Numbers, intercept: Any, table: Table
) -> Numbers:
    block = read(table)
    reject_nonfinite(block)
    scores: Numbers = dot(block, weights) + intercept
    return scores


def _dot_sparse(block: Numbers, weights: Numbers) -> Numbers:
    """Multiply *block* by *weights*. Add up the products in column order, as SciPy does for a sparse matrix."""
    weights = weights if weights.ndim == 2 else weights[:, None]
    if len(block) * weights.size > _MAX_PRODUCTS:
        raise FallBack
    scores: Numbers = np.add.accumulate(block[:, :, None] * weights, axis=1)[:, -1]
    return scores


@register_predictor("sklearn.linear_model._base", "LinearRegression")
@register_predictor("sklearn.linear_model._ridge", "Ridge", "RidgeCV")
@register_predictor(
    "sklearn.linear_model._coordinate_descent", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV"
)
@register_predictor("sklearn.linear_model._bayes", "BayesianRidge", "ARDRegression")
@register_predictor("sklearn.linear_model._huber", "HuberRegressor")
@register_predictor("sklearn.linear_model._quantile", "QuantileRegressor")
@register_predictor("sklearn.linear_model._stochastic_gradient", "SGDRegressor")
@register_predictor("sklearn.svm._classes", "LinearSVR")
def _plan_regressor(step: Any, source: FeatureSource) -> PredictFn:
    read_scores = score_reader(step, source, step.coef_.T, step.intercept_)
    if source.sparse and step.coef_.ndim == 1:
        return lambda table: (read_scores(table)[:, 0], None)
    return lambda table: (read_scores(table), None)


@register_predictor("sklearn.linear_model._glm.glm", "PoissonRegressor", "GammaRegressor")
def _plan_log_linear(step: Any, source: FeatureSource) -> PredictFn:
    if source.sparse:
        raise Unplannable(f"{type(step).__name__} gets a sparse matrix")
    read_scores = score_reader(step, source, step.coef_, step.intercept_)
    return lambda table: (np.exp(read_scores(table)), None)


@register_predictor("sklearn.linear_model._logistic", "LogisticRegression", "LogisticRegressionCV")
def _plan_logistic(step: Any, source: FeatureSource) -> PredictFn:
    read_scores = score_reader(step, source, step.coef_.T, step.intercept_)
    if len(step.classes_) == 2:
        return partial(_predict_binary, read_scores, step.classes_, load_expit())
    return partial(_predict_multiclass, read_scores, step.classes_)


def _predict_binary(
    read_scores: ReadFn, classes: Any, expit: Callable[[Numbers], Numbers] | None, table: Table
) -> PlanOutput:
    scores = read_scores(table).reshape(-1)
    labels = classes.take(scores > 0)
    return labels, None if expit is None else binary_probabilities(expit(scores))


def _predict_multiclass(read_scores: ReadFn, classes: Any, table: Table) -> PlanOutput:
    scores = read_scores(table)
    return argmax_labels(classes, scores), softmax(scores)


@register_predictor("sklearn.linear_model._ridge", "RidgeClassifier", "RidgeClassifierCV")
@register_predictor("sklearn.linear_model._stochastic_gradient", "SGDClassifier")
@register_predictor("sklearn.linear_model._perceptron", "Perceptron")
@register_predictor("sklearn.svm._classes", "LinearSVC")
def _plan_classifier(step: Any, source: FeatureSource) -> PredictFn:
    read_scores, classes = score_reader(step, source, step.coef_.T, step.intercept_), step.classes_
    expit = None
    if hasattr(step, "predict_proba"):
        if step.loss != "log_loss" or len(classes) != 2:
            raise Unplannable(f"no plan for the probabilities of {type(step).__name__}")
        expit = load_expit()
    if len(classes) == 2:
        return partial(_predict_binary, read_scores, classes, expit)
    return lambda table: (argmax_labels(classes, read_scores(table)), None)
