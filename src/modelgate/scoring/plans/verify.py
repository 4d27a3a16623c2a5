"""Whether a plan answers as its estimator does, on rows made up for it and on a sample."""

import time
from typing import Any

import numpy as np

from ...schema import Schema, Table
from .made_up import ODD, MadeUp
from .parts import Answering, NoPlan

__all__ = ["verify"]

_SIZES = (8, 1, 300, 2, 3, 7, 64, 100)
_FEW = 3
_SLOW = 0.005
"""An estimator that takes so many seconds for a row is asked for *_FEW* of the sizes: a start is not to take long."""

_ODD_ROWS = 40


def verify(
    plan: Answering, asked: Answering, schema: Schema, told: Schema, sample: Table | None = None
) -> None:
    """Ask both the same.

    Args:
        plan: the plan.
        asked: the estimator.
        schema: of the rows that will come.
        told: the schema the model tells.
        sample: rows as they will come.

    Raises:
        NoPlan: one of their answers differs, or the plan answers what the estimator refuses.
    """
    made_up = MadeUp(schema, told)
    with np.errstate(all="ignore"):
        _same(plan, asked, made_up.rows(_SIZES[0]), required=True)  # and what is imported late is there
        start = time.perf_counter()
        _same(plan, asked, made_up.rows(_SIZES[1]), required=True)
        slow = time.perf_counter() - start > _SLOW
        if sample is not None:
            _same(plan, asked, sample, required=True)
        for size in _SIZES[2 : _FEW if slow else None]:
            _same(plan, asked, made_up.rows(size), required=True)
        for odd in ODD:
            if any(odd(column) for column in schema.columns):
                _same(plan, asked, made_up.rows(_ODD_ROWS, odd), required=False)


def _same(plan: Answering, asked: Answering, table: Table, *, required: bool) -> None:
    try:
        expected = asked(table)
    except Exception:
        expected = None
    try:
        given = plan(table)
    except Exception as error:
        # The estimator answers these rows. That is no reason against the plan, unless they are common ones.
        if expected is not None and required:
            raise NoPlan(f"its plan fails: {type(error).__name__}") from error
        return
    if expected is None or not _equal(expected, given):
        raise NoPlan("its plan answers otherwise than the estimator")


def _equal(one: Any, other: Any) -> bool:
    """Whether arrays, and tuples and lists of them, are the same bit for bit, -0.0 being 0.0."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        same = (one.dtype, one.shape) == (other.dtype, other.shape)
        return same and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if type(one) is not type(other) or one is None:
        return one is other
    return len(one) == len(other) and all(map(_equal, one, other))
