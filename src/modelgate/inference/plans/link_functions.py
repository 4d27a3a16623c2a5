"""Compute probabilities and labels from the scores of a model, by the same operations as scikit-learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Numbers

__all__ = ["argmax_labels", "binary_probabilities", "load_expit", "softmax"]


def load_expit() -> Callable[[Numbers], Numbers]:
    """Import and return SciPy's ``expit``. The same formula in numpy would round differently."""
    from scipy.special import expit  # type: ignore[import-untyped]

    return expit  # type: ignore[no-any-return]


def binary_probabilities(positive: Numbers) -> Numbers:
    """Return the probabilities of both classes, of shape (rows, 2), from those of the positive class."""
    probabilities = np.empty((len(positive), 2))
    np.subtract(1, positive, out=probabilities[:, 0])
    probabilities[:, 1] = positive
    return probabilities


def softmax(scores: Numbers) -> Numbers:
    """Return the softmax of each row, by the operations of ``sklearn.utils.extmath.softmax``."""
    probabilities: Numbers = scores - scores.max(axis=1).reshape(-1, 1)
    np.exp(probabilities, out=probabilities)
    probabilities /= probabilities.sum(axis=1).reshape(-1, 1)
    return probabilities


def argmax_labels(classes: npt.NDArray[Any], scores: Numbers) -> npt.NDArray[Any]:
    """Return the class with the greatest score for each row."""
    labels: npt.NDArray[Any] = classes.take(scores.argmax(axis=1))
    return labels
