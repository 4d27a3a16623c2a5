"""Base class of the runtimes of native boosters, which have one method for numbers, labels and probabilities."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from ...schema import Table
from ..plans.base import PlanOutput
from .base import Runtime

__all__ = ["BoosterRuntime", "Meaning"]

Meaning: TypeAlias = Literal["numbers", "labels", "binary", "multiclass"]
"""Meaning of the output of a booster.

``binary`` is the probability of class 1, for several columns that of each label. ``multiclass`` has one
probability for each class.
"""


class BoosterRuntime(Runtime):
    """Calls a booster, whose classes are 0, 1, ….

    Args:
        model: Booster.
        to_input: Converts a table to the rows that *model* takes.
        meaning: Meaning of its output, according to its objective.
        classes: Number of its classes; 0 for numbers.
    """

    def __init__(
        self, model: Any, to_input: Callable[[Table], Any], meaning: Meaning, classes: int = 0
    ) -> None:
        super().__init__(model, to_input)
        self._meaning = meaning
        self.classes = [list(range(classes))] if classes else None
        self.has_probabilities = meaning in ("binary", "multiclass")

    def predict(self, table: Table) -> PlanOutput:
        output = self._model.predict(self._to_input(table))
        if self._meaning == "numbers":
            return output, None
        if self._meaning == "labels":
            return output.astype(np.int64), None
        if self._meaning == "multiclass":
            return output.argmax(axis=1), output
        # The labels of the scikit-learn interface of both libraries.
        labels = (output > 0.5).astype(np.int64)
        return labels, output if output.ndim == 2 else np.column_stack([1 - output, output])
