"""ONNX, where somebody chose it: not exact, and it says by how much."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ...models.onnx import OnnxModel
from ...models.onnx_export import Difference, difference, to_onnx
from ...schema import Schema, Table
from .made_up import MadeUp
from .parts import Answer, Answering, NotPlanned, Plan

__all__ = ["OnnxPlan", "onnx_plan"]

_Where: TypeAlias = npt.NDArray[np.bool_]
"""Which rows."""

_ROWS, _NAMES = 200, 5

_GREATEST = float(np.finfo(np.float32).max)


class OnnxPlan(Plan):
    """Answers a row nearly as the estimator it was made of, or has the estimator answer it.

    Attributes:
        difference: how far it answered otherwise, on a sample and on rows made up after the schema; None where
            it is not measured: there is no sample, and the range of a column is not known.
        told: how far it answers otherwise, in words.
    """

    def __init__(self, graph: OnnxModel, asked: Answering, made_up: MadeUp, sample: Table | None) -> None:
        super().__init__(graph.answer)
        self._asked = asked
        self.difference: Difference | None = None
        self.told = f"how exactly is not measured: the range of {_listed(made_up.guessed)} is not known"
        tables = [] if made_up.guessed else [made_up.rows(_ROWS)]
        if sample is not None:
            tables.append(sample.taken(~_exact(sample)))
        if any(map(len, tables)):
            table = Table.joined(tables)
            self.difference = difference(asked(table), graph.answer(table))
            self.told = str(self.difference)

    def __call__(self, table: Table) -> Answer:
        exact = _exact(table)
        if exact.all():
            raise NotPlanned
        answer = super().__call__(table.taken(~exact) if exact.any() else table)
        endless = ~_finite(answer)
        if not exact.any() and not endless.any():
            return answer
        kept = _taken(answer, ~endless)
        exact[~exact] = endless
        return cast(Answer, _merged(exact, self._asked(table.taken(exact)), kept))


def _exact(table: Table) -> _Where:
    """Which rows a graph is not asked for: it has an answer for what an estimator refuses."""
    # Each row by itself, whatever is beside it.
    exact: _Where = np.logical_not((np.abs(table.numbers) <= _GREATEST).all(axis=1))
    for cells in table.texts:
        exact |= [cell is None for cell in cells]
    return exact


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")


def _finite(answer: Answer) -> _Where:
    """Of which rows every number is finite."""
    values, told = answer
    finite = np.ones(len(values), dtype=bool)
    for part in (values, *(told if isinstance(told, list) else (told,))):
        if part is not None and part.dtype.kind == "f":
            finite &= np.isfinite(part).reshape(len(values), -1).all(axis=1)
    return finite


def _taken(part: Any, rows: _Where) -> Any:
    if isinstance(part, tuple | list):
        return [_taken(each, rows) for each in part]
    return None if part is None else part[rows]


def _merged(where: _Where, one: Any, other: Any) -> Any:
    """The rows of *one* where it is True, and those of *other* elsewhere."""
    if isinstance(one, tuple | list):
        return type(one)(_merged(where, *parts) for parts in zip(one, other, strict=True))
    if one is None:
        return None
    merged = np.empty((len(where), *one.shape[1:]), dtype=np.result_type(one, other))
    merged[where], merged[~where] = one, other
    return merged


def onnx_plan(model: Any, schema: Schema, asked: Answering, sample: Table | None = None) -> OnnxPlan:
    """The graph of *model*.

    Args:
        model: a fitted scikit-learn estimator.
        schema: of the tables that will come.
        asked: gives *model*'s own answer.
        sample: rows as they will come.

    Raises:
        ConfigurationError: there is none; the reason is told.
    """
    graph = to_onnx(model, schema)
    return OnnxPlan(graph, asked, MadeUp(schema, Schema.from_model(model)), sample)
