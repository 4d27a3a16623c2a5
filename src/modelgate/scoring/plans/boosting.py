"""Gradient boosting, through scikit-learn's compiled stages."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .links import imported_expit, labels_of, softmax, two_classes
from .parts import Answer, Answering, NoPlan, Numbers, Reading, Source, predictor
from .trees import reading_float32

__all__: list[str] = []


def _scores(step: Any, source: Source) -> Reading:
    """(rows, outputs) of what all stages add up to."""
    from sklearn.ensemble._gradient_boosting import predict_stages

    if source.sparse:
        raise NoPlan(f"a sparse matrix reaches {type(step).__name__}")
    if step.init_ != "zero" and not type(step.init_).__name__.startswith("Dummy"):
        raise NoPlan(f"no plan for {type(step).__name__} that starts from {type(step.init_).__name__}")
    read = reading_float32(step, source, nulls=False)
    start = step._raw_predict_init(np.zeros((1, step.n_features_in_), dtype=np.float32))
    return partial(_add_stages, read, predict_stages, step.estimators_, step.learning_rate, start)


def _add_stages(
    read: Reading, predict_stages: Callable[..., None], stages: Any, rate: float, start: Numbers, table: Table
) -> Numbers:
    block = read(table)
    scores = start.repeat(len(block), axis=0)
    predict_stages(stages, block, rate, scores)
    return scores


@predictor("sklearn.ensemble._gb", "GradientBoostingRegressor")
def _regressor(step: Any, source: Source) -> Answering:
    scores = _scores(step, source)
    return lambda table: (scores(table)[:, 0], None)


@predictor("sklearn.ensemble._gb", "GradientBoostingClassifier")
def _classifier(step: Any, source: Source) -> Answering:
    scores, classes = _scores(step, source), step.classes_
    if len(classes) > 2:
        return partial(_of_many, scores, classes)
    # The exponential loss has half the logit as its link.
    return partial(_of_two, scores, classes, imported_expit(), 2.0 if step.loss == "exponential" else 1.0)


def _of_many(scores: Reading, classes: Any, table: Table) -> Answer:
    told = scores(table)
    return labels_of(classes, told), softmax(told)


def _of_two(
    scores: Reading, classes: Any, expit: Callable[[Any], Numbers], factor: float, table: Table
) -> Answer:
    there = scores(table)[:, 0]
    return classes.take(there >= 0), two_classes(expit(factor * there))
