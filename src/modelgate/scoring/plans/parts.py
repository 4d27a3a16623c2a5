"""What plans are made of, and the registry of who makes the parts."""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ...schema import Column, Table

__all__ = [
    "Answer",
    "Answering",
    "Cells",
    "Lane",
    "NoPlan",
    "NotPlanned",
    "Numbers",
    "Order",
    "Plan",
    "Reading",
    "Source",
    "answered",
    "predictor",
    "refuse_infinite",
    "refuse_nonfinite",
    "transformed",
    "transformer",
]

Numbers: TypeAlias = npt.NDArray[np.float64]
Reading: TypeAlias = Callable[[Table], Numbers]
"""Gives (rows, columns) of numbers, in the memory layout that scikit-learn has there: BLAS adds up in
another order for another layout."""

Order: TypeAlias = Literal["C", "F"]
"""Row by row, or column by column."""

Cells: TypeAlias = Callable[[Table], list[Sequence[Any]]]
"""Gives columns of Python values, null being None."""

Answer: TypeAlias = tuple[npt.NDArray[Any], Any]
"""What ``predict`` and ``predict_proba`` give; None where the estimator has no probabilities."""

Answering: TypeAlias = Callable[[Table], Answer]


class Plan:
    """Answers a table as the estimator it was made of. Safe to be called from many threads at once.

    Raises:
        Exception: any at all, where the table is not for it: the estimator then answers, or refuses.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def __call__(self, table: Table) -> Answer:
        # What overflows is refused with the whole prediction; numpy's warning would go to the host's log.
        with np.errstate(all="ignore"):
            return self._answering(table)


class NoPlan(Exception):
    """An estimator has no plan. The message is the reason."""


class NotPlanned(Exception):
    """A table is not for the plan; the estimator itself must answer, or refuse."""


class Lane(NamedTuple):
    """A column of the table, and its place among the numbers or among the texts."""

    column: Column
    at: int


@dataclass(frozen=True, slots=True)
class Source:
    """What a step is given: columns of the table, as long as no step has touched them, or what one made.

    Args:
        read: numbers.
        cells: column by column, Python values, null being None; where there is text.
        lanes: the table's own columns.
        order: the memory layout in which the estimator is given *lanes*.
        sparse: whether scikit-learn has a sparse matrix here. A plan never has.
    """

    read: Reading | None = None
    cells: Cells | None = None
    lanes: tuple[Lane, ...] | None = None
    order: Order = "C"
    sparse: bool = False

    def numbers(self, step: Any, *, sparse: bool = False) -> Reading:
        """How *step* reads numbers.

        Raises:
            NoPlan: there is text, or a sparse matrix and *step* is not known to take one.
        """
        if self.sparse and not sparse:
            raise NoPlan(f"a sparse matrix reaches {type(step).__name__}")
        read = self.read
        if self.lanes is not None:
            _refuse_any(self.lanes)
            numeric = all(lane.column.numeric for lane in self.lanes)
            read = _block([lane.at for lane in self.lanes], self.order) if numeric else None
        if read is None:
            raise NoPlan(f"text reaches {type(step).__name__}")
        return read

    def numbers_or_nan(self, step: Any) -> Reading:
        """How *step* reads numbers, if it takes NaN and no infinity.

        Raises:
            NoPlan: as `numbers`.
        """
        read = self.numbers(step)
        # A table holds no infinity: only what a step made may be one.
        return read if self.lanes is not None else partial(_read_no_infinity, read)

    def values(self, step: Any) -> Cells:
        """How an encoder reads its columns.

        Raises:
            NoPlan: as `numbers`.
        """
        if self.cells is not None:
            return self.cells
        if self.lanes is not None:
            _refuse_any(self.lanes)
            return partial(_cells_of, self.lanes)
        read = self.numbers(step)
        return lambda table: [_nulled(column) for column in read(table).T]


def _read_no_infinity(read: Reading, table: Table) -> Numbers:
    block = read(table)
    refuse_infinite(block)
    return block


def _refuse_any(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        if lane.column.kind == "any":
            # pandas makes of it what this batch looks like.
            raise NoPlan(f"column {lane.column.name!r} may hold anything")


def _block(places: list[int], order: Order) -> Reading:
    start, stop = places[0], places[-1] + 1
    if order == "F":
        return lambda table: table.numbers[:, places]  # numpy lays out what is chosen column by column
    if places == list(range(start, stop)):
        return lambda table: table.numbers[:, start:stop]
    return lambda table: table.numbers.take(places, axis=1)


def _cells_of(lanes: Sequence[Lane], table: Table) -> list[Sequence[Any]]:
    return [
        _nulled(table.numbers[:, lane.at]) if lane.column.numeric else table.texts[lane.at] for lane in lanes
    ]


def _nulled(numbers: Numbers) -> list[Any]:
    return [None if value != value else value for value in numbers.tolist()]


def refuse_nonfinite(block: Numbers) -> None:
    """Raises `NotPlanned` where scikit-learn refuses NaN and infinities."""
    if not _surely_finite(block) and not np.isfinite(block).all():
        raise NotPlanned


def refuse_infinite(block: Numbers) -> None:
    """Raises `NotPlanned` where scikit-learn refuses infinities."""
    if not _surely_finite(block) and np.isinf(block).any():
        raise NotPlanned


def _surely_finite(block: Numbers) -> bool:
    # One pass of BLAS, which asks no more of a number than that.
    flat = block.ravel("K")
    return math.isfinite(flat.dot(flat))


_Transformer: TypeAlias = Callable[[Any, Source], Source]
_Predictor: TypeAlias = Callable[[Any, Source], Answering]

_TRANSFORMERS: dict[str, _Transformer] = {}
_PREDICTORS: dict[str, _Predictor] = {}


def transformer(module: str, *names: str) -> Callable[[_Transformer], _Transformer]:
    """Registers who plans the transformers *names* of *module*. No class is imported for it."""

    def register(made: _Transformer) -> _Transformer:
        _TRANSFORMERS.update({f"{module}.{name}": made for name in names})
        return made

    return register


def predictor(module: str, *names: str) -> Callable[[_Predictor], _Predictor]:
    """Registers who plans the predictors *names* of *module*."""

    def register(made: _Predictor) -> _Predictor:
        _PREDICTORS.update({f"{module}.{name}": made for name in names})
        return made

    return register


def transformed(step: Any, source: Source) -> Source:
    """What *step* makes of *source*.

    Raises:
        NoPlan: it, or what it is given, is not known.
    """
    return _TRANSFORMERS[_known(_TRANSFORMERS, step)](step, source)


def answered(step: Any, source: Source) -> Answering:
    """What *step* predicts from *source*.

    Raises:
        NoPlan: it, or what it is given, is not known.
    """
    return _PREDICTORS[_known(_PREDICTORS, step)](step, source)


def _known(made: Container[str], step: Any) -> str:
    # Exactly this class: one that inherits from it may do anything.
    name = f"{type(step).__module__}.{type(step).__qualname__}"
    if name not in made:
        raise NoPlan(f"no plan for {name}")
    return name
