"""Compute contributions to the prediction of any model, by replacing columns in random orders.

Starting from the background rows, the columns are replaced one after the other by the values of the explained
row. Each replacement changes the mean prediction. The contribution of a column is its mean change over
several orders. Every order is also used backwards ("antithetic sampling"), which cancels most of the sampling
error. The changes of one order add up to the difference between the prediction and the mean prediction, so
the method is additive.

Source: S. M. Lundberg and S.-I. Lee, "A Unified Approach to Interpreting Model Predictions" (2017), and R.
Mitchell et al., "Sampling Permutations for Shapley Value Estimation" (2022).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..schema import Column, Table
from .attribution import Link, Numbers, ScoreFn

__all__ = ["BACKGROUND_ROWS", "PermutationMethod"]

BACKGROUND_ROWS = 32
"""Largest number of background rows. Each explained row is combined with all of them."""

_SCORED_ROWS = 16_384
"""Largest number of rows that the model scores in one call, unless one explained row needs more."""


class _Coalitions(NamedTuple):
    """Coalitions, a term of game theory: sets of replaced columns, and their weights in the contributions.

    Attributes:
        masks: Whether each column is replaced, of shape (sets, columns). The last two sets are the empty
            set and the set of all columns.
        weights: Weight of each set in the contribution of each column, of shape (columns, sets).
    """

    masks: npt.NDArray[np.bool_]
    weights: Numbers


class PermutationMethod:
    """Attribution method for any model. The same row always gets the same contributions.

    Args:
        score: Function that returns the numbers that the model predicts.
        columns: Columns of the schema.
        background: Background rows with which each row is compared. At most `BACKGROUND_ROWS` are used.
        pairs: Number of column orders. Each order is also used backwards.
        link: Scale on which the contributions add up, such as probabilities; see `Link`.
    """

    name = "permutation"

    def __init__(
        self, score: ScoreFn, columns: Sequence[Column], background: Table, pairs: int, link: Link
    ) -> None:
        self._score = score
        self._columns = columns
        count = len(background)
        if count > BACKGROUND_ROWS:
            chosen = np.zeros(count, dtype=bool)
            chosen[np.linspace(0, count - 1, BACKGROUND_ROWS).astype(np.int64)] = True
            background = background.select(chosen)
        self._background = background
        self._coalitions = _sample_coalitions([column.name for column in columns], pairs)
        self.base_values: Numbers = score(background).mean(axis=0)
        self.link = link
        scored = max(1, (len(self._coalitions.masks) - 2) * len(background))
        self.rows_per_call = max(1, _SCORED_ROWS // scored)

    def attribute(self, table: Table, numbers: Numbers) -> Numbers:
        """Return the contributions for the rows of *table*, for which the model predicted *numbers*."""
        masks, weights = self._coalitions
        replaced = masks[:-2]
        shape = (len(table), len(masks), numbers.shape[1])
        values = np.empty(shape)
        if len(replaced):
            scores = self._score(self._combine(table, replaced))
            grouped = scores.reshape(len(table), len(replaced), len(self._background), -1)
            # The sum that a mean needs may exceed the largest float.
            with np.errstate(over="ignore"):
                means = grouped.mean(axis=2)
            values[:, :-2] = (
                means if np.isfinite(means).all() else (grouped / len(self._background)).sum(axis=2)
            )
        values[:, -2], values[:, -1] = self.base_values, numbers
        # Contributions above the largest float do not add up to the prediction; `is_additive` detects this.
        with np.errstate(all="ignore"):
            strengths: Numbers = np.einsum("cs,rsn->rcn", weights, values)
        return strengths

    def _combine(self, table: Table, masks: npt.NDArray[np.bool_]) -> Table:
        """Return a row for each combination of a row of *table*, a mask and a background row, in this order.

        The columns in the mask have the values of the row of *table*; the other columns have those of the
        background row.
        """
        background = self._background
        numeric = np.array([column.numeric for column in self._columns])
        numbers = np.where(
            masks[None, :, None, numeric], table.numbers[:, None, None, :], background.numbers[None, None]
        )
        rows = np.arange(len(table))[:, None, None]
        others = len(table) + np.arange(len(background))[None, None, :]
        texts: list[list[Any]] = []
        text_masks = masks.T[~numeric]
        for mask, cells, other_cells in zip(text_masks, table.texts, background.texts, strict=True):
            values = [*cells, *other_cells]
            indices = np.where(mask[None, :, None], rows, others).ravel().tolist()
            texts.append([values[index] for index in indices])
        count = math.prod(numbers.shape[:3])
        return Table(self._columns, numbers.reshape(count, numbers.shape[3]), texts)


def _sample_coalitions(names: Sequence[str], pairs: int) -> _Coalitions:
    """Return the sets of columns that occur when columns are replaced one by one, in *pairs* random orders.

    Each order is also used backwards. The orders depend only on the column names, not on the order of the
    columns in the schema.
    """
    count = len(names)
    by_name = np.array(sorted(range(count), key=names.__getitem__))
    random = np.random.default_rng(0)
    orders = [by_name[random.permutation(count)] for _ in range(pairs)]
    orders += [order[::-1] for order in orders]
    empty, everything = (False,) * count, (True,) * count
    changes: dict[tuple[bool, ...], Numbers] = {}
    for order in orders:
        before = empty
        for column in order.tolist():
            after = tuple(index == column or replaced for index, replaced in enumerate(before))
            changes.setdefault(after, np.zeros(count))[column] += 1 / len(orders)
            changes.setdefault(before, np.zeros(count))[column] -= 1 / len(orders)
            before = after
    sets = [*sorted(changes.keys() - {empty, everything}), empty, everything]
    return _Coalitions(np.array(sets), np.array([changes[mask] for mask in sets]).T)
