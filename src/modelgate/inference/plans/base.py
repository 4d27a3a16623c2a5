"""Building blocks for plans, which are functions that predict the same as an estimator, but faster.

This module also has a registry of functions that build plans for scikit-learn's classes. A *step* is an
estimator or transformer that may be part of a pipeline.
"""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ...schema import Column, Table

__all__ = [
    "ColumnReader",
    "FallBack",
    "FeatureRef",
    "FeatureSource",
    "MemoryOrder",
    "Numbers",
    "Plan",
    "PlanOutput",
    "PredictFn",
    "ReadFn",
    "Unplannable",
    "plan_predictor",
    "plan_transformer",
    "register_predictor",
    "register_transformer",
    "reject_infinite",
    "reject_nonfinite",
]

Numbers: TypeAlias = npt.NDArray[np.float64]
ReadFn: TypeAlias = Callable[[Table], Numbers]
"""Function that reads a table as an array of shape (rows, columns).

The array has the same memory layout as in scikit-learn, because the order in which BLAS adds up depends on
it."""

MemoryOrder: TypeAlias = Literal["C", "F"]
"""Memory layout of an array: row by row (``C``), or column by column (``F``)."""

ColumnReader: TypeAlias = Callable[[Table], list[Sequence[Any]]]
"""Function that reads a table as columns of Python values. Null is None."""

PlanOutput: TypeAlias = tuple[npt.NDArray[Any], Any]
"""Results of ``predict`` and ``predict_proba``. The second is None if the estimator has no probabilities."""

PredictFn: TypeAlias = Callable[[Table], PlanOutput]


class Plan:
    """Function that returns exactly the predictions of the estimator that it replaces. Thread-safe.

    Attributes:
        predict: Prediction function. If it raises an error, the plan cannot predict the table, and the
            estimator must be called instead.
    """

    def __init__(self, predict: PredictFn) -> None:
        self.predict = predict


class Unplannable(Exception):
    """Error for an estimator that has no plan. The message is the reason."""


class FallBack(Exception):
    """Error for a table that a plan cannot predict. The estimator must be called instead."""


class FeatureRef(NamedTuple):
    """Reference to a column of a table, with its index among the numeric or the non-numeric columns."""

    column: Column
    position: int


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Source of a step's input: either columns of the table, or the output of the previous step.

    Args:
        read: Function that reads a numeric output of the previous step.
        read_columns: Function that reads a text output of the previous step, as columns of Python values.
        features: Columns of the table; None for the output of the previous step.
        order: Memory layout of *features* in the input of the estimator.
        sparse: Whether this input is a sparse matrix in scikit-learn. A plan uses an array instead.
    """

    read: ReadFn | None = None
    read_columns: ColumnReader | None = None
    features: tuple[FeatureRef, ...] | None = None
    order: MemoryOrder = "C"
    sparse: bool = False

    def number_reader(self, step: Any, *, sparse: bool = False) -> ReadFn:
        """Return the function that reads the input of *step* as numbers.

        Args:
            step: Estimator or transformer.
            sparse: Whether the plan of *step* supports inputs that are sparse matrices in scikit-learn.

        Raises:
            Unplannable: The input contains text, or is a sparse matrix although *sparse* is False.
        """
        if self.sparse and not sparse:
            raise Unplannable(f"{type(step).__name__} gets a sparse matrix")
        read = self.read
        if self.features is not None:
            _reject_untyped(self.features)
            numeric = all(feature.column.numeric for feature in self.features)
            positions = [feature.position for feature in self.features]
            read = _block_reader(positions, self.order) if numeric else None
        if read is None:
            raise Unplannable(f"{type(step).__name__} gets text")
        return read

    def number_or_nan_reader(self, step: Any) -> ReadFn:
        """Return the function that reads the input of a *step* that accepts NaN but rejects infinities.

        Raises:
            Unplannable: The input contains text, or is a sparse matrix.
        """
        read = self.number_reader(step)
        # A table contains no infinities. Only the output of a step may contain some.
        return read if self.features is not None else partial(_read_without_infinities, read)

    def column_reader(self, step: Any) -> ColumnReader:
        """Return the function that reads the input of *step* as columns of Python values.

        Raises:
            Unplannable: The input is a sparse matrix.
        """
        if self.read_columns is not None:
            return self.read_columns
        if self.features is not None:
            _reject_untyped(self.features)
            positions = [(feature.column.numeric, feature.position) for feature in self.features]
            return partial(_read_columns, positions)
        read = self.number_reader(step)
        return lambda table: [_nan_to_none(column) for column in read(table).T]

    def encoded_reader(self, step: Any, encode: Callable[[list[Sequence[Any]]], Numbers]) -> ReadFn:
        """Return the function that reads the columns of *step* and encodes them as numbers.

        Raises:
            Unplannable: The input is a sparse matrix.
        """
        return partial(_read_encoded, self.column_reader(step), encode)


def _read_without_infinities(read: ReadFn, table: Table) -> Numbers:
    block = read(table)
    reject_infinite(block)
    return block


def _reject_untyped(features: Sequence[FeatureRef]) -> None:
    for feature in features:
        if feature.column.kind == "any":
            # pandas infers the dtype of such a column from the values of each batch.
            raise Unplannable(f"column {feature.column.name!r} has the kind 'any'")
        if feature.column.kind == "datetime":
            raise Unplannable(f"column {feature.column.name!r} has the kind 'datetime'")


def _block_reader(positions: list[int], order: MemoryOrder) -> ReadFn:
    start, stop = positions[0], positions[-1] + 1
    if order == "F":
        return lambda table: table.numbers[:, positions]  # indexing with a list returns a copy in "F" order
    if positions == list(range(start, stop)):
        return lambda table: table.numbers[:, start:stop]
    return lambda table: table.numbers.take(positions, axis=1)


def _read_columns(positions: Sequence[tuple[bool, int]], table: Table) -> list[Sequence[Any]]:
    return [
        _nan_to_none(table.numbers[:, position]) if numeric else table.texts[position]
        for numeric, position in positions
    ]


def _read_encoded(
    read_columns: ColumnReader, encode: Callable[[list[Sequence[Any]]], Numbers], table: Table
) -> Numbers:
    return encode(read_columns(table))


def _nan_to_none(numbers: Numbers) -> list[Any]:
    return [None if value != value else value for value in numbers.tolist()]


def reject_nonfinite(block: Numbers) -> None:
    """Raise `FallBack` if *block* contains NaN or an infinity, which scikit-learn rejects with an error."""
    if not _is_surely_finite(block) and not np.isfinite(block).all():
        raise FallBack


def reject_infinite(block: Numbers) -> None:
    """Raise `FallBack` if *block* contains an infinity, which scikit-learn rejects with an error."""
    if not _is_surely_finite(block) and np.isinf(block).any():
        raise FallBack


def _is_surely_finite(block: Numbers) -> bool:
    # A single call of BLAS. It may overflow for finite numbers, so False only means that callers must check.
    flat = block.ravel("K")
    return math.isfinite(flat.dot(flat))


_PlanTransformer: TypeAlias = Callable[[Any, FeatureSource], FeatureSource]
_PlanPredictor: TypeAlias = Callable[[Any, FeatureSource], PredictFn]

_TRANSFORMERS: dict[str, _PlanTransformer] = {}
_PREDICTORS: dict[str, _PlanPredictor] = {}


def register_transformer(module: str, *names: str) -> Callable[[_PlanTransformer], _PlanTransformer]:
    """Return a decorator that registers a function as the builder of plans for some transformers.

    The transformers are specified by name, so that their modules need not be imported.

    Args:
        module: Module in which the transformers are defined.
        names: Class names of the transformers.
    """

    def register(plan: _PlanTransformer) -> _PlanTransformer:
        _TRANSFORMERS.update({f"{module}.{name}": plan for name in names})
        return plan

    return register


def register_predictor(module: str, *names: str) -> Callable[[_PlanPredictor], _PlanPredictor]:
    """Return a decorator that registers a function as the builder of plans for some predictors.

    The predictors are specified by name, so that their modules need not be imported.

    Args:
        module: Module in which the predictors are defined.
        names: Class names of the predictors.
    """

    def register(plan: _PlanPredictor) -> _PlanPredictor:
        _PREDICTORS.update({f"{module}.{name}": plan for name in names})
        return plan

    return register


def plan_transformer(step: Any, source: FeatureSource) -> FeatureSource:
    """Return the source of the next step: the output of the transformer *step* for the input *source*.

    Raises:
        Unplannable: The step or its input is not supported.
    """
    return _TRANSFORMERS[_registered_name(_TRANSFORMERS, step)](step, source)


def plan_predictor(step: Any, source: FeatureSource) -> PredictFn:
    """Return a function that predicts the same as the predictor *step*, whose input is *source*.

    Raises:
        Unplannable: The step or its input is not supported.
    """
    return _PREDICTORS[_registered_name(_PREDICTORS, step)](step, source)


def _registered_name(registry: Container[str], step: Any) -> str:
    # Only the registered class: a subclass may override any method.
    name = f"{type(step).__module__}.{type(step).__qualname__}"
    if name not in registry:
        raise Unplannable(f"no plan for {name}")
    return name
