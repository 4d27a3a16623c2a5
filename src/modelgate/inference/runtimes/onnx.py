"""Runtime for ONNX graphs."""

from ...models.onnx import OnnxModel
from ...schema import Table
from ..plans.base import PlanOutput
from .base import Runtime

__all__ = ["OnnxRuntime"]


class OnnxRuntime(Runtime):
    """Runtime that runs an ONNX graph. A single run returns both labels and probabilities."""

    _model: OnnxModel

    def predict(self, table: Table) -> PlanOutput:
        return self._model.predict_table(table)
