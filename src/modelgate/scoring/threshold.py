"""Which of two classes is looked for, and how likely it must be."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigurationError
from ..flow import Flow, Handler
from .query import Output, Prediction, Query

__all__ = ["Threshold", "decide", "is_for"]


def is_for(positive_class: Any, classes: Sequence[Any]) -> bool:
    """Whether *positive_class* is one of two *classes*; None is one of any two."""
    return len(classes) == 2 and (positive_class is None or positive_class in classes)


class Threshold:
    """Predict the positive one of two classes from a probability on.

    Outputs that have another number of classes, or other classes, stay as they are.

    Args:
        threshold: the probability from which on the positive class is predicted; None leaves the
            model's own labels.
        positive_class: by default the second of ``classes_``.

    Raises:
        ConfigurationError: *threshold* is not a number above 0 and below 1.
    """

    scores = True

    def __init__(self, threshold: float | None = None, positive_class: Any = None) -> None:
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if threshold is not None and not (number and 0 < threshold < 1):
            raise ConfigurationError(f"threshold={threshold!r}: accepts a number above 0 and below 1")
        self._threshold = threshold
        self._positive = positive_class

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        prediction = yield from call_next(query)
        for output in prediction.outputs:
            if output.classes is not None and is_for(self._positive, output.classes):
                self._apply(output, output.classes)
        return prediction

    def _apply(self, output: Output, classes: Sequence[Any]) -> None:
        if self._positive is not None:
            output.positive = classes.index(self._positive)
        if self._threshold is not None and output.probabilities is not None:
            likely = output.probabilities[:, output.positive] >= self._threshold
            # Text has the width of what was predicted, and the other label may be longer.
            kind = output.values.dtype
            labels = np.array(classes, dtype=object if kind.kind == "U" else kind)
            output.values = np.where(likely, labels[output.positive], labels[1 - output.positive])
            output.threshold = self._threshold


def decide(query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
    """A scoring layer that predicts as the model at hand, or its deployment, says: `Predictor.decision`."""
    decision = query.predictor.decision if query.predictor is not None else None
    return call_next(query) if decision is None else decision(query, call_next)
