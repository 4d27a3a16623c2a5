"""Plans that predict with an ONNX graph. They are not exact, so they are used only on request."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ...models.onnx import OnnxModel
from ...models.onnx_export import Difference, difference, to_onnx
from ...schema import Schema, Table
from .base import FallBack, Plan, PlanOutput, PredictFn
from .synthetic_rows import SyntheticRows

__all__ = ["OnnxPlan", "build_onnx_plan"]

_Mask: TypeAlias = npt.NDArray[np.bool_]
"""One boolean per row."""

_SYNTHETIC_ROWS, _MAX_NAMES = 200, 5

_FLOAT32_MAX = float(np.finfo(np.float32).max)


class OnnxPlan(Plan):
    """Plan that predicts with an ONNX graph. Its predictions may differ slightly from the estimator's.

    Two kinds of rows are predicted by the estimator, not by the graph:

    - rows that contain null or a number too large for float32,
    - rows for which the output of the graph is not finite.

    Attributes:
        difference: Largest difference between the predictions of the graph and of the estimator, for a
            sample and synthetic rows. None if it was not measured.
        summary: Description of the difference, or the reason why it was not measured.
    """

    def __init__(
        self, graph: OnnxModel, reference: PredictFn, synthetic: SyntheticRows, sample: Table | None
    ) -> None:
        self._graph = graph
        self._reference = reference
        self.difference: Difference | None = None
        unbounded = synthetic.unbounded_columns
        self.summary = f"difference not measured: the range of {_join_names(unbounded)} is not known"
        tables = [] if unbounded else [synthetic.rows(_SYNTHETIC_ROWS)]
        if sample is not None:
            tables.append(sample.select(~_needs_estimator(sample)))
        if any(map(len, tables)):
            table = Table.concat(tables)
            self.difference = difference(reference(table), graph.predict_table(table))
            self.summary = str(self.difference)

    def predict(self, table: Table) -> PlanOutput:
        """Predict *table* (see `Plan`)."""
        by_estimator = _needs_estimator(table)
        if by_estimator.all():
            raise FallBack
        output = self._graph.predict_table(table.select(~by_estimator) if by_estimator.any() else table)
        finite = _finite_rows(output)
        if not by_estimator.any() and finite.all():
            return output
        by_graph = _select_rows(output, finite)
        by_estimator[~by_estimator] = ~finite
        merged = _merge_rows(by_estimator, self._reference(table.select(by_estimator)), by_graph)
        return cast(PlanOutput, merged)


def _needs_estimator(table: Table) -> _Mask:
    """Return the mask of the rows that the graph would predict, although the estimator may reject them."""
    # Decide for each row, so that the prediction for a row does not depend on other rows.
    mask: _Mask = np.logical_not((np.abs(table.numbers) <= _FLOAT32_MAX).all(axis=1))
    for values in table.texts:
        mask |= [value is None for value in values]
    return mask


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")


def _finite_rows(output: PlanOutput) -> _Mask:
    """Return the mask of the rows in which every number is finite."""
    values, probabilities = output
    finite = np.ones(len(values), dtype=bool)
    for part in (values, *(probabilities if isinstance(probabilities, list) else (probabilities,))):
        if part is not None and part.dtype.kind == "f":
            finite &= np.isfinite(part).reshape(len(values), -1).all(axis=1)
    return finite


def _select_rows(output: Any, rows: _Mask) -> Any:
    if isinstance(output, tuple | list):
        return [_select_rows(part, rows) for part in output]
    return None if output is None else output[rows]


def _merge_rows(mask: _Mask, selected: Any, others: Any) -> Any:
    """Merge two outputs: the rows of *selected* where *mask* is True, and of *others* where it is False."""
    if isinstance(selected, tuple | list):
        return type(selected)(_merge_rows(mask, *parts) for parts in zip(selected, others, strict=True))
    if selected is None:
        return None
    merged = np.empty((len(mask), *selected.shape[1:]), dtype=np.result_type(selected, others))
    merged[mask], merged[~mask] = selected, others
    return merged


def build_onnx_plan(
    model: Any, schema: Schema, reference: PredictFn, sample: Table | None = None
) -> OnnxPlan:
    """Convert *model* to an ONNX graph, and return the plan that predicts with it.

    Args:
        model: Fitted scikit-learn estimator.
        schema: Schema of the tables.
        reference: Function that returns the predictions of *model* itself.
        sample: Typical rows. On these and on synthetic rows, the predictions of the graph and of *model* are
            compared, to measure how much they differ.

    Raises:
        ConfigurationError: *model* cannot be converted.
    """
    graph = to_onnx(model, schema)
    return OnnxPlan(graph, reference, SyntheticRows(schema, Schema.from_model(model)), sample)
