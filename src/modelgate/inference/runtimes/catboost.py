"""Runtime for ``catboost.CatBoost``, the class without scikit-learn's interface."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...schema import Table
from ..plans.base import PlanOutput
from .base import Runtime

__all__ = ["CatBoostRuntime"]


class CatBoostRuntime(Runtime):
    """Runtime that calls a ``catboost.CatBoost`` model.

    A classifier is called for labels and for probabilities.
    """

    def __init__(self, model: Any, to_input: Callable[[Table], Any]) -> None:
        super().__init__(model, to_input)
        self.has_probabilities = self.classes is not None

    def predict(self, table: Table) -> PlanOutput:
        rows = self._to_input(table)
        if not self.has_probabilities:
            return np.asarray(self._model.predict(rows)), None
        probabilities = self._model.predict(rows, prediction_type="Probability")
        return self._model.predict(rows, prediction_type="Class"), probabilities
