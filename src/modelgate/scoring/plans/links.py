"""From a model's scores to probabilities, as scikit-learn computes them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .parts import Numbers

__all__ = ["imported_expit", "labels_of", "softmax", "two_classes"]


def imported_expit() -> Callable[[Numbers], Numbers]:
    """SciPy's: numpy's own operations would round otherwise."""
    from scipy.special import expit  # type: ignore[import-untyped]

    return expit  # type: ignore[no-any-return]


def two_classes(there: Numbers) -> Numbers:
    """(rows, 2) of how likely the second class is."""
    told = np.empty((len(there), 2))
    np.subtract(1, there, out=told[:, 0])
    told[:, 1] = there
    return told


def softmax(scores: Numbers) -> Numbers:
    """The operations of ``sklearn.utils.extmath.softmax``, without its questions."""
    told: Numbers = scores - scores.max(axis=1).reshape(-1, 1)
    np.exp(told, out=told)
    told /= told.sum(axis=1).reshape(-1, 1)
    return told


def labels_of(classes: npt.NDArray[Any], scores: Numbers) -> npt.NDArray[Any]:
    """The class with the greatest score of each row."""
    labels: npt.NDArray[Any] = classes.take(scores.argmax(axis=1))
    return labels
