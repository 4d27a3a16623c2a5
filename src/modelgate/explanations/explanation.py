"""Requests for explanations, and their results: contributions of input columns to a prediction."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput

__all__ = ["Contribution", "Explain", "RowExplanation", "qualitative_strength", "rank"]

_LARGEST = 10
_NOISE = 0.001
"""Share below which a contribution is left out, unless all contributions are requested."""


class Explain(msgspec.Struct, frozen=True):
    """Request for explanations.

    Rows between the thresholds are not explained. Without thresholds, all rows are explained. The thresholds
    apply to the predicted number, or to the probability of the explained class.

    Attributes:
        count: Maximum number of contributions per row.
        threshold_low: Explain predictions below this value; None for no such threshold.
        threshold_high: Explain predictions above this value; None for no such threshold.

    Raises:
        InvalidInput: *count* is not a whole number of at least 1, or a threshold is not a finite number.
    """

    count: int
    threshold_low: float | None = None
    threshold_high: float | None = None

    @classmethod
    def from_option(cls, option: "int | Explain | None") -> "Explain | None":
        """Convert *option* to a request. A number is the maximum number of contributions per row."""
        return option if option is None or isinstance(option, Explain) else cls(option)

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 1:
            raise InvalidInput(
                f"The number of explanations must be a whole number of at least 1 (got {self.count!r:.40})"
            )
        for threshold in (self.threshold_low, self.threshold_high):
            is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
            if threshold is not None and not (is_number and math.isfinite(threshold)):
                raise InvalidInput(
                    f"A threshold for explanations must be a finite number (got {threshold!r:.40})"
                )

    @property
    def has_thresholds(self) -> bool:
        """Whether rows between thresholds are left out."""
        return self.threshold_low is not None or self.threshold_high is not None

    def select(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return whether to explain each of the predicted *values*. NaN is never explained."""
        if not self.has_thresholds:
            return ~np.isnan(values)
        low = -math.inf if self.threshold_low is None else self.threshold_low
        high = math.inf if self.threshold_high is None else self.threshold_high
        selected: npt.NDArray[np.bool_] = (values < low) | (values > high)
        return selected


class Contribution(msgspec.Struct, frozen=True):
    """Contribution of one input column to the prediction for a row.

    Attributes:
        feature: Column name.
        value: Value in the request; None if it was null or left out.
        strength: Amount by which the value changes the prediction, in the explanation's space.
        qualitative_strength: ``+++`` to ``+`` or ``-`` to ``---``; see `qualitative_strength`.
    """

    feature: str
    value: Any
    strength: float
    qualitative_strength: str


class RowExplanation(msgspec.Struct, frozen=True):
    """Explanation of the prediction for a row.

    On the scale of *space*, the base value, the strengths of all contributions and *remaining* add up to the
    prediction.

    Attributes:
        label: Explained class: the positive class of a binary classifier, or the predicted class of a
            multiclass classifier. For a predicted number, the name of the target.
        method: ``"linear"``, ``"tree"`` or ``"permutation"``; see `Explanations`.
        space: Unit of the strengths: ``"value"`` for the predicted number; ``"link"`` for the logarithm of
            the predicted number; ``"probability"``; or ``"margin"`` for the score from which a classifier
            computes its probabilities or labels, such as the log-odds of two classes.
        base_value: Mean prediction for the background rows, in this space.
        contributions: Contributions, the strongest first. The list is empty for a row between the thresholds,
            and None for a row whose prediction is null.
        remaining: Sum of the strengths that *contributions* leaves out; None if the row is not explained.
    """

    label: Any
    method: str
    space: str
    base_value: float
    contributions: Sequence[Contribution] | None
    remaining: float | None = None


def rank(strengths: npt.NDArray[np.float64], count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return the indices of the strongest contributions of each row, and their shares.

    The share is the strength divided by the sum of the ten largest absolute strengths of the row. Source:
    DataRobot's page "XEMP qualitative strength". Columns with equal absolute strengths keep their order.

    Args:
        strengths: Strengths, of shape (rows, columns).
        count: Number of indices for each row.

    Returns:
        The indices and the shares, each of shape (rows, at most *count*).
    """
    sizes = -np.abs(strengths)
    order = sizes.argsort(axis=1, kind="stable")[:, :count]
    sizes.sort(axis=1)
    with np.errstate(over="ignore"):
        largest = -sizes[:, :_LARGEST].sum(axis=1, keepdims=True)
    if not np.isfinite(largest).all():
        # The sum exceeds the largest float.
        largest = -(sizes[:, :_LARGEST] / _LARGEST).sum(axis=1, keepdims=True)
        strengths = strengths / _LARGEST
    # If all strengths of a row are 0, so are its shares.
    largest[largest == 0] = 1
    # Indexing with rows and columns is faster than numpy.take_along_axis, which does the same.
    return order, strengths[np.arange(len(order))[:, None], order] / largest


def is_noise(share: float, *, all_requested: bool) -> bool:
    """Return whether the *share* of a contribution is so small that explanations leave it out.

    If *all_requested* is True, only a share of 0 is left out.
    """
    return share == 0 if all_requested else abs(share) < _NOISE


def qualitative_strength(share: float, features: int) -> str:
    """Return ``+++``, ``++``, ``+``, ``-``, ``--`` or ``---`` for the share of a contribution (see `rank`).

    The bounds depend on the number of *features*. Source: DataRobot's page "XEMP qualitative strength". The
    page does not document all bounds. The two bounds for 3 to 9 features, and the lower bound for 10 or more
    features, are assumptions.
    """
    if features == 1:
        medium = strong = 0.0
    elif features == 2:
        medium, strong = 0.25, 0.75
    elif features < _LARGEST:
        medium, strong = 1 / (2 * features), 2 / features
    else:
        medium, strong = 0.05, 0.2
    size = abs(share)
    symbol = "+" if share >= 0 else "-"
    return symbol * (3 if size > strong else 2 if size > medium else 1)
