"""Interface of attribution methods, which divide a prediction among the input columns.

A method returns the *strength* of each column: how much the column contributes to a number that the model
predicts. A model may predict several numbers for a row: a probability or a score for each class, or a number
for each target. Strengths add up in the *space* of the method, such as log-odds, and a link function converts
their sum to the number that the model predicts.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..schema import Table

__all__ = [
    "LINKS",
    "Link",
    "Method",
    "Numbers",
    "ScoreFn",
    "TransformFn",
    "add_up",
    "is_additive",
    "margins",
]

Numbers: TypeAlias = npt.NDArray[np.float64]

ScoreFn: TypeAlias = Callable[[Table], Numbers]
"""Function that returns the numbers to explain, of shape (rows, numbers)."""

TransformFn: TypeAlias = Callable[[Table], Any]
"""Function that returns the input of a pipeline's last step: an array or sparse matrix (rows, features)."""

_TOLERANCE = 1e-9
_ROUNDING = 1e-14


class Link(NamedTuple):
    """Scale on which the strengths of the columns add up, such as log-odds.

    The function *to_numbers* converts their sum to the predicted number.
    """

    space: str
    to_numbers: Callable[[Numbers], Numbers]


class Method(Protocol):
    """Attribution method for one model.

    Attributes:
        name: Name of the method, as in `Explanations`.
        link: Space of the strengths.
        base_values: Mean predictions for the background rows, in the same space, of shape (numbers,).
        rows_per_call: Maximum number of rows in one call, which limits its memory and duration.
    """

    name: str
    link: Link
    base_values: Numbers
    rows_per_call: int

    def attribute(self, table: Table, numbers: Numbers) -> Numbers:
        """Return how much each column of *table* contributes to the *numbers* that the model predicted.

        The result, the strengths, has the shape (rows, columns, numbers).
        """


def is_additive(method: Method, strengths: Numbers, numbers: Numbers) -> bool:
    """Return whether base values and *strengths* add up to the predicted *numbers*, except for rounding.

    Predicted numbers that are NaN, because the prediction is null, are not compared.
    """
    with np.errstate(all="ignore"):
        totals = method.link.to_numbers(method.base_values + add_up(strengths))
        # A comparison with NaN is False.
        tolerance = _TOLERANCE * np.maximum(1.0, np.abs(numbers))
        if method.link.to_numbers is _identity:
            # Large strengths may cancel each other out, but their rounding errors do not.
            tolerance += _ROUNDING * np.abs(strengths).max(axis=1, initial=0)
        is_close = (np.abs(totals - numbers) <= tolerance) & np.isfinite(totals)
    return bool(is_close.all() or (is_close | np.isnan(numbers)).all())


def add_up(strengths: Numbers) -> Numbers:
    """Return the sums of *strengths* over the columns."""
    columns = strengths.shape[1]
    with np.errstate(all="ignore"):
        sums: Numbers = strengths.sum(axis=1)
        # A part of the sum may exceed the largest float.
        return sums if np.isfinite(sums).all() else (strengths / columns).sum(axis=1) * columns


def margins(scores: Numbers) -> Numbers:
    """Return *scores* with one column for each class.

    If *scores* has only one score per row, it is the score of the second of two classes. The first class gets
    the same score with the opposite sign.
    """
    scores = scores.reshape(-1, 1) if scores.ndim == 1 else scores
    return np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores


def _expit(totals: Numbers) -> Numbers:
    result: Numbers = 1 / (1 + np.exp(-totals))
    return result


def _softmax(totals: Numbers) -> Numbers:
    powers = np.exp(totals - totals.max(axis=1, keepdims=True))
    result: Numbers = powers / powers.sum(axis=1, keepdims=True)
    return result


def _one_versus_rest(totals: Numbers) -> Numbers:
    probabilities = _expit(totals)
    result: Numbers = probabilities / probabilities.sum(axis=1, keepdims=True)
    return result


def _identity(totals: Numbers) -> Numbers:
    return totals


LINKS = {
    "value": [Link("value", _identity), Link("link", np.exp)],
    "margin": [Link("margin", _identity)],
    "binary": [Link("probability", _identity), Link("margin", _expit)],
    "multiclass": [
        Link("probability", _identity),
        Link("margin", _softmax),
        Link("margin", _one_versus_rest),
    ],
}
"""Links to try for each kind of numbers; see `ExplainedModel`. The first link of a kind is the identity."""
