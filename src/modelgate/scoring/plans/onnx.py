"""ONNX, where somebody chose it: not exact, and it says by how much."""

from typing import Any

import numpy as np

from ...models.onnx import OnnxModel
from ...models.onnx_export import Difference, difference, to_onnx
from ...schema import Schema, Table
from .parts import Answer, Answering, NotPlanned, Plan
from .sample import Sample

__all__ = ["OnnxPlan", "onnx_plan"]

_ROWS = 200


class OnnxPlan(Plan):
    """Answers a table nearly as the estimator it was made of.

    Attributes:
        difference: how far it answered otherwise, on rows made up after the schema.
    """

    def __init__(self, graph: OnnxModel, difference: Difference) -> None:
        super().__init__(graph.answer)
        self.difference = difference

    def __call__(self, table: Table) -> Answer:
        # A graph has an answer for what an estimator refuses.
        if np.isnan(table.numbers).any() or any(None in cells for cells in table.texts):
            raise NotPlanned
        return super().__call__(table)


def onnx_plan(model: Any, schema: Schema, asked: Answering) -> OnnxPlan:
    """The graph of *model*.

    Args:
        model: a fitted scikit-learn estimator.
        schema: of the tables that will come.
        asked: gives *model*'s own answer.

    Raises:
        ConfigurationError: there is none; the reason is told.
    """
    graph = to_onnx(model, schema)
    table = Sample(schema, Schema.from_model(model)).rows(_ROWS)
    return OnnxPlan(graph, difference(asked(table), graph.answer(table)))
