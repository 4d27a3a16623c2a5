"""Runtime of ONNX graphs."""

from ...models.onnx import OnnxModel
from ...schema import Table
from ..plans.base import PlanOutput
from .base import Runtime

__all__ = ["OnnxRuntime"]


class OnnxRuntime(Runtime):
    """Runs an ONNX graph, which returns labels and probabilities in a single run."""

    _model: OnnxModel

    def predict(self, table: Table) -> PlanOutput:
        return self._model.predict_table(table)
