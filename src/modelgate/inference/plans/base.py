"""Building blocks of plans, and the registry of the functions that plan estimators and transformers."""

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
"""Returns numbers of shape (rows, columns), in the memory layout that scikit-learn has at this step.

BLAS adds up in another order for another layout."""

MemoryOrder: TypeAlias = Literal["C", "F"]
"""Memory layout: row by row, or column by column."""

ColumnReader: TypeAlias = Callable[[Table], list[Sequence[Any]]]
"""Returns columns of Python values; null is None."""

PlanOutput: TypeAlias = tuple[npt.NDArray[Any], Any]
"""Outputs of ``predict`` and ``predict_proba``; the latter is None if the estimator has no probabilities."""

PredictFn: TypeAlias = Callable[[Table], PlanOutput]


class Plan:
    """Predicts a table exactly as the estimator for which it was built. Thread-safe.

    Raises:
        Exception: The plan cannot predict the table. The estimator must predict it, or raise its own error.
    """

    def __init__(self, predict: PredictFn) -> None:
        self._predict = predict

    def __call__(self, table: Table) -> PlanOutput:
        # An overflow is rejected with the whole prediction; numpy's warning would go to the host's log.
        with np.errstate(all="ignore"):
            return self._predict(table)


class Unplannable(Exception):
    """An estimator has no plan. The message is the reason."""


class FallBack(Exception):
    """A plan cannot predict a table; the estimator must predict it, or raise its own error."""


class FeatureRef(NamedTuple):
    """Column of a table, and its index among the numeric columns or among the other ones."""

    column: Column
    position: int


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Input of a step: columns of the table as long as no step has transformed them, else a step's output.

    Args:
        read: Returns numbers.
        read_columns: Returns columns of Python values, if there is text.
        features: The table's own columns.
        order: Memory layout of *features* in the estimator's input.
        sparse: Whether scikit-learn has a sparse matrix at this step; a plan never has.
    """

    read: ReadFn | None = None
    read_columns: ColumnReader | None = None
    features: tuple[FeatureRef, ...] | None = None
    order: MemoryOrder = "C"
    sparse: bool = False

    def number_reader(self, step: Any, *, sparse: bool = False) -> ReadFn:
        """Return the function that reads the input of *step* as numbers.

        Args:
            step: The estimator or transformer.
            sparse: Whether a plan of *step* supports sparse matrices.

        Raises:
            Unplannable: The input contains text, or is an unsupported sparse matrix.
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
        """Return the function that reads the input of a *step* that accepts NaN and rejects infinities.

        Raises:
            Unplannable: The input contains text, or is a sparse matrix.
        """
        read = self.number_reader(step)
        # A table holds no infinities; only the output of a step may.
        return read if self.features is not None else partial(_read_without_infinities, read)

    def column_reader(self, step: Any) -> ColumnReader:
        """Return the function that reads the columns of an encoder.

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


def _read_without_infinities(read: ReadFn, table: Table) -> Numbers:
    block = read(table)
    reject_infinite(block)
    return block


def _reject_untyped(features: Sequence[FeatureRef]) -> None:
    for feature in features:
        if feature.column.kind == "any":
            # pandas infers its dtype from the values of each batch.
            raise Unplannable(f"column {feature.column.name!r} may hold anything")
        if feature.column.kind == "datetime":
            raise Unplannable(f"column {feature.column.name!r} holds datetimes")


def _block_reader(positions: list[int], order: MemoryOrder) -> ReadFn:
    start, stop = positions[0], positions[-1] + 1
    if order == "F":
        return lambda table: table.numbers[:, positions]  # numpy lays out an indexed copy column by column
    if positions == list(range(start, stop)):
        return lambda table: table.numbers[:, start:stop]
    return lambda table: table.numbers.take(positions, axis=1)


def _read_columns(positions: Sequence[tuple[bool, int]], table: Table) -> list[Sequence[Any]]:
    return [
        _nan_to_none(table.numbers[:, position]) if numeric else table.texts[position]
        for numeric, position in positions
    ]


def _nan_to_none(numbers: Numbers) -> list[Any]:
    return [None if value != value else value for value in numbers.tolist()]


def reject_nonfinite(block: Numbers) -> None:
    """Raise `FallBack` for NaN and infinities, where scikit-learn raises an error."""
    if not _is_surely_finite(block) and not np.isfinite(block).all():
        raise FallBack


def reject_infinite(block: Numbers) -> None:
    """Raise `FallBack` for infinities, where scikit-learn raises an error."""
    if not _is_surely_finite(block) and np.isinf(block).any():
        raise FallBack


def _is_surely_finite(block: Numbers) -> bool:
    # One pass of BLAS. It may overflow for finite numbers; the callers then check each one.
    flat = block.ravel("K")
    return math.isfinite(flat.dot(flat))


_PlanTransformer: TypeAlias = Callable[[Any, FeatureSource], FeatureSource]
_PlanPredictor: TypeAlias = Callable[[Any, FeatureSource], PredictFn]

_TRANSFORMERS: dict[str, _PlanTransformer] = {}
_PREDICTORS: dict[str, _PlanPredictor] = {}


def register_transformer(module: str, *names: str) -> Callable[[_PlanTransformer], _PlanTransformer]:
    """Register a function that plans the transformers *names* of *module*, without importing them."""

    def register(plan: _PlanTransformer) -> _PlanTransformer:
        _TRANSFORMERS.update({f"{module}.{name}": plan for name in names})
        return plan

    return register


def register_predictor(module: str, *names: str) -> Callable[[_PlanPredictor], _PlanPredictor]:
    """Register a function that plans the predictors *names* of *module*, without importing them."""

    def register(plan: _PlanPredictor) -> _PlanPredictor:
        _PREDICTORS.update({f"{module}.{name}": plan for name in names})
        return plan

    return register


def plan_transformer(step: Any, source: FeatureSource) -> FeatureSource:
    """Return the output of the transformer *step* for *source*.

    Raises:
        Unplannable: The step or its input is not supported.
    """
    return _TRANSFORMERS[_registered_name(_TRANSFORMERS, step)](step, source)


def plan_predictor(step: Any, source: FeatureSource) -> PredictFn:
    """Return a function that predicts as *step* does from *source*.

    Raises:
        Unplannable: The step or its input is not supported.
    """
    return _PREDICTORS[_registered_name(_PREDICTORS, step)](step, source)


def _registered_name(registry: Container[str], step: Any) -> str:
    # Exactly this class: a subclass may do anything.
    name = f"{type(step).__module__}.{type(step).__qualname__}"
    if name not in registry:
        raise Unplannable(f"no plan for {name}")
    return name
