"""Scoring layer that applies a decision threshold."""

from typing import Any

from ...flow import Flow, Handler
from ...inference import Prediction
from ...inference.decision import DecisionRule
from ..many_rows import run_if_many
from ..query import Query

__all__ = ["Threshold"]


class Threshold:
    """Scoring layer that predicts the positive class when its probability is at least *threshold*.

    It applies only to outputs with exactly two classes, one of which is *positive_class*.

    Args:
        threshold: Minimum probability for predicting the positive class; None to keep the labels of the
            model.
        positive_class: Positive class; None for the second of ``classes_``.

    Raises:
        ConfigurationError: *threshold* is not a number from 0 to 1.
    """

    scores = True

    def __init__(self, threshold: float | None = None, positive_class: Any = None) -> None:
        self._rule = DecisionRule(threshold, positive_class)

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        prediction = yield from call_next(query)
        return (yield from run_if_many(len(prediction), self._rule.apply, prediction))
