"""Verify that a plan and its estimator predict exactly the same, on synthetic rows and on a sample."""

import time
from typing import Any

import numpy as np

from ...schema import Schema, Table
from .base import PredictFn, Unplannable
from .synthetic_rows import UNUSUAL_VALUES, SyntheticRows

__all__ = ["verify"]

_SIZES = (8, 1, 300, 2, 3, 7, 64, 100)
_SIZES_IF_SLOW = 3
_SLOW = 0.005
"""If the second comparison takes longer than this (in seconds), fewer follow, so that startup is fast."""

_UNUSUAL_ROWS = 40


def verify(
    plan: PredictFn, reference: PredictFn, schema: Schema, model_schema: Schema, sample: Table | None = None
) -> None:
    """Check that *plan* and *reference* return the same predictions.

    Args:
        plan: Prediction function of the plan.
        reference: Prediction function of the estimator itself.
        schema: Schema of the tables.
        model_schema: Schema inferred from the model.
        sample: Typical rows, which are predicted in addition to synthetic rows.

    Raises:
        Unplannable: A prediction differs, the plan rejects typical rows that the estimator accepts, or the
            plan accepts rows that the estimator rejects.
    """
    synthetic = SyntheticRows(schema, model_schema)
    with np.errstate(all="ignore"):
        # The first comparison is not timed: it may import modules.
        _check_same(plan, reference, synthetic.rows(_SIZES[0]), required=True)
        start = time.perf_counter()
        _check_same(plan, reference, synthetic.rows(_SIZES[1]), required=True)
        slow = time.perf_counter() - start > _SLOW
        if sample is not None:
            _check_same(plan, reference, sample, required=True)
        for size in _SIZES[2 : _SIZES_IF_SLOW if slow else None]:
            _check_same(plan, reference, synthetic.rows(size), required=True)
        for unusual_values in UNUSUAL_VALUES:
            if any(unusual_values(column) for column in schema.columns):
                _check_same(plan, reference, synthetic.rows(_UNUSUAL_ROWS, unusual_values), required=False)


def _check_same(plan: PredictFn, reference: PredictFn, table: Table, *, required: bool) -> None:
    try:
        expected = reference(table)
    except Exception:
        expected = None
    try:
        predicted = plan(table)
    except Exception as error:
        # The estimator would predict these rows instead. The plan is useless only if such rows are common.
        if expected is not None and required:
            raise Unplannable(f"the plan fails: {type(error).__name__}") from error
        return
    if expected is None or not _are_equal(expected, predicted):
        raise Unplannable("the plan and the estimator predict differently")


def _are_equal(expected: Any, predicted: Any) -> bool:
    """Return whether arrays, or tuples and lists of arrays, have the same types and exactly equal values."""
    if isinstance(expected, np.ndarray) and isinstance(predicted, np.ndarray):
        same_type = (expected.dtype, expected.shape) == (predicted.dtype, predicted.shape)
        return same_type and np.array_equal(expected, predicted, equal_nan=expected.dtype.kind == "f")
    if type(expected) is not type(predicted) or expected is None:
        return expected is predicted
    return len(expected) == len(predicted) and all(map(_are_equal, expected, predicted))
