"""Exact contributions to the score of a linear model.

The contribution of a feature is its coefficient, times the difference between its value and its mean in the
background rows. The contribution of a column is the sum over its features. This is the column's Shapley
value, because the score is a sum over features, and each feature is computed from a single column.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..schema import Table
from .attribution import Link, Numbers, TransformFn, margins
from .origins import Unattributable

__all__ = ["LinearMethod"]

_MAX_WEIGHTS = 20_000_000
"""Largest number of weights, which take 160 MB."""

_MAX_STRENGTHS = 1_000_000


class LinearMethod:
    """Attribution method for linear models, which returns the exact contributions to the score.

    Args:
        final: Last step of the model, with ``coef_`` and ``intercept_``.
        transform: Function that returns the features of *final*.
        background: Background rows with which each row is compared.
        origins: Index of the column from which each feature is computed.
        columns: Number of columns.
        count: Number of numbers that the model predicts for a row.
        link: Space of the score.

    Raises:
        Unattributable: *final* does not have one coefficient for each feature and number.
    """

    name = "linear"

    def __init__(
        self,
        final: Any,
        transform: TransformFn,
        background: Table,
        origins: Sequence[int],
        columns: int,
        count: int,
        link: Link,
    ) -> None:
        coefficients = margins(np.atleast_2d(np.asarray(final.coef_, dtype=np.float64)).T)
        intercept = margins(np.atleast_1d(np.asarray(final.intercept_, dtype=np.float64))[None])[0]
        if count == 1:
            coefficients, intercept = coefficients[:, -1:], intercept[-1:]
        features = len(origins)
        if coefficients.shape != (features, count) or len(intercept) not in (1, count):
            raise Unattributable
        if features * columns * count > _MAX_WEIGHTS:
            raise Unattributable
        self._transform = transform
        self._mean = np.asarray(transform(background).mean(axis=0), dtype=np.float64).reshape(-1)
        self.base_values: Numbers = self._mean @ coefficients + intercept
        weights = np.zeros((features, columns, count))
        weights[np.arange(features), list(origins)] = coefficients
        self._weights = weights.reshape(features, -1)
        self._shape = (-1, columns, count)
        self.link = link
        self.rows_per_call = max(1, _MAX_STRENGTHS // (columns * count))

    def attribute(self, table: Table, numbers: Numbers) -> Numbers:  # noqa: ARG002  see `Method`
        """Return the exact contributions for the rows of *table*."""
        features = self._transform(table)
        if isinstance(features, np.ndarray):
            strengths = (features - self._mean) @ self._weights
        else:
            # Subtracting the mean from a sparse matrix would make it dense.
            strengths = features @ self._weights - self._mean @ self._weights
        return np.asarray(strengths).reshape(self._shape)
