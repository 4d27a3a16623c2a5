"""Decision rule for binary classifiers: predict the positive class if its probability reaches a threshold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigurationError
from .prediction import Output, Prediction

__all__ = ["DecisionRule", "ModelThreshold", "is_binary_positive", "resolve_threshold"]


def is_binary_positive(positive_class: Any, classes: Sequence[Any]) -> bool:
    """Return whether there are two *classes*, and *positive_class* is one of them or None."""
    return len(classes) == 2 and (positive_class is None or positive_class in classes)


class DecisionRule:
    """Rule that predicts the positive class when its probability is at least *threshold*.

    Outputs are unchanged unless they have exactly two classes, one of which is *positive_class*.

    Args:
        threshold: Minimum probability for predicting the positive class; None to keep the labels of the
            model.
        positive_class: Positive class; None for the second of ``classes_``.

    Raises:
        ConfigurationError: *threshold* is not a number from 0 to 1.
    """

    def __init__(self, threshold: float | None = None, positive_class: Any = None) -> None:
        is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if threshold is not None and not (is_number and 0 <= threshold <= 1):
            raise ConfigurationError(f"threshold must be a number from 0 to 1 (got {threshold!r})")
        self._threshold = threshold
        self._positive = positive_class

    def apply(self, prediction: Prediction) -> Prediction:
        """Apply the rule to the outputs of *prediction* in place, and return *prediction*."""
        for output in prediction.outputs:
            if output.classes is not None and is_binary_positive(self._positive, output.classes):
                self._relabel(output, output.classes)
        return prediction

    def _relabel(self, output: Output, classes: Sequence[Any]) -> None:
        if self._positive is not None:
            output.positive = classes.index(self._positive)
        if self._threshold is not None and output.probabilities is not None:
            # In float32, 0.35 would be compared with a rounded threshold.
            is_positive = output.probabilities[:, output.positive].astype(np.float64) >= self._threshold
            # The text dtype is as wide as the labels predicted for these rows. It would cut off a longer
            # label.
            dtype = output.values.dtype
            labels = np.array(classes, dtype=object if dtype.kind == "U" else dtype)
            values = np.where(is_positive, labels[output.positive], labels[1 - output.positive])
            if dtype.kind == "O":
                # A null stays null (see `NullNonFinite`).
                values = values.astype(object)
                values[[value is None for value in output.values.tolist()]] = None
            output.values = values
            output.threshold = self._threshold


class ModelThreshold(NamedTuple):
    """Decision threshold that a model applies itself.

    Args:
        threshold: Minimum probability for predicting *positive_class*.
        positive_class: Positive class; None for the second of ``classes_``.
    """

    threshold: float
    positive_class: Any


def resolve_threshold(model: Any, threshold: float | None, positive_class: Any) -> tuple[float | None, Any]:
    """Return *threshold* and *positive_class*.

    If *threshold* is None, return the values that *model* itself applies.

    The model's own threshold is ignored if it applies to a class other than *positive_class*.
    """
    own = _read_threshold(model) if threshold is None else None
    return (
        own
        if own is not None and positive_class in (None, own.positive_class)
        else (threshold, positive_class)
    )


def _read_threshold(model: Any) -> ModelThreshold | None:
    """Return the threshold of *model*, or None if it is not a classifier with a threshold.

    *model* may be a `FixedThresholdClassifier` or a `TunedThresholdClassifierCV`, or a pipeline or search
    that ends in one. The result is also None if the threshold applies to a decision function, or is not a
    probability.
    """
    kind = type(model).__name__
    if kind not in ("FixedThresholdClassifier", "TunedThresholdClassifierCV"):
        steps = getattr(model, "steps", None)
        inner = steps[-1][1] if steps else getattr(model, "best_estimator_", None)
        return None if inner is None else _read_threshold(inner)
    if model.response_method == "decision_function" or not hasattr(model, "predict_proba"):
        return None
    if kind == "FixedThresholdClassifier":
        threshold, positive_class = model.threshold, model.pos_label
    else:
        # scikit-learn stores the positive class of a tuned threshold only in its scorer.
        threshold, positive_class = model.best_threshold_, model._curve_scorer._get_pos_label()
    threshold = 0.5 if threshold == "auto" else float(threshold)
    positive_class = positive_class.item() if hasattr(positive_class, "item") else positive_class
    return ModelThreshold(threshold, positive_class) if 0 <= threshold <= 1 else None
