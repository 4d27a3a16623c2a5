"""Runtime for ``xgboost.Booster`` and ``lightgbm.Booster``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...schema import Table
from ...schema.introspection.objectives import read_objective
from ..plans.base import PlanOutput
from .base import Runtime

__all__ = ["BoosterRuntime"]


class BoosterRuntime(Runtime):
    """Runtime that calls a booster.

    The objective of the booster determines whether ``predict`` returns numbers, labels or probabilities.

    Probabilities are converted to labels by the same rule as in ``XGBClassifier`` and ``LGBMClassifier``.
    """

    def __init__(self, model: Any, to_input: Callable[[Table], Any]) -> None:
        super().__init__(model, to_input)
        self._output = read_objective(model).output
        self.has_probabilities = self._output in ("binary", "multiclass")

    def predict(self, table: Table) -> PlanOutput:
        output = self._model.predict(self._to_input(table))
        if self._output == "numbers":
            return output, None
        if self._output == "labels":
            return output.astype(np.int64), None
        if self._output == "multiclass":
            return output.argmax(axis=1), output
        labels = (output > 0.5).astype(np.int64)
        return labels, output if output.ndim == 2 else np.column_stack([1 - output, output])
