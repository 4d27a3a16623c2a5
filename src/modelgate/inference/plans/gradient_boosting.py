"""Plans for gradient boosting, which call scikit-learn's compiled code."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .base import FeatureSource, Numbers, PlanOutput, PredictFn, ReadFn, Unplannable, register_predictor
from .link_functions import argmax_labels, binary_probabilities, load_expit, softmax
from .trees import read_float32

__all__: list[str] = []


def _score_reader(step: Any, source: FeatureSource) -> ReadFn:
    """Return a function that adds up the stages of *step* and returns scores of shape (rows, outputs)."""
    from sklearn.ensemble._gradient_boosting import predict_stages

    if source.sparse:
        raise Unplannable(f"{type(step).__name__} gets a sparse matrix")
    if step.init_ != "zero" and not type(step.init_).__name__.startswith("Dummy"):
        raise Unplannable(f"no plan for {type(step).__name__} with init={type(step.init_).__name__}")
    read = read_float32(step, source, nulls=False)
    start = step._raw_predict_init(np.zeros((1, step.n_features_in_), dtype=np.float32))
    return partial(_add_stages, read, predict_stages, step.estimators_, step.learning_rate, start)


def _add_stages(
    read: ReadFn, predict_stages: Callable[..., None], stages: Any, rate: float, start: Numbers, table: Table
) -> Numbers:
    block = read(table)
    scores = start.repeat(len(block), axis=0)
    predict_stages(stages, block, rate, scores)
    return scores


@register_predictor("sklearn.ensemble._gb", "GradientBoostingRegressor")
def _plan_regressor(step: Any, source: FeatureSource) -> PredictFn:
    read_scores = _score_reader(step, source)
    return lambda table: (read_scores(table)[:, 0], None)


@register_predictor("sklearn.ensemble._gb", "GradientBoostingClassifier")
def _plan_classifier(step: Any, source: FeatureSource) -> PredictFn:
    read_scores, classes = _score_reader(step, source), step.classes_
    if len(classes) > 2:
        return partial(_predict_multiclass, read_scores, classes)
    # With the exponential loss, a score is half the logit.
    factor = 2.0 if step.loss == "exponential" else 1.0
    return partial(_predict_binary, read_scores, classes, load_expit(), factor)


def _predict_multiclass(read_scores: ReadFn, classes: Any, table: Table) -> PlanOutput:
    scores = read_scores(table)
    return argmax_labels(classes, scores), softmax(scores)


def _predict_binary(
    read_scores: ReadFn, classes: Any, expit: Callable[[Any], Numbers], factor: float, table: Table
) -> PlanOutput:
    scores = read_scores(table)[:, 0]
    return classes.take(scores >= 0), binary_probabilities(expit(factor * scores))
