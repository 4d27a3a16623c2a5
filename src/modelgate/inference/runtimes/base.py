"""Runtime for models with the interface of scikit-learn's estimators, and base class of the other runtimes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...schema import Table
from ...schema.introspection.classes import stored_classes
from ..conversion import to_plain_array
from ..plans.base import PlanOutput

__all__ = ["Runtime", "to_arrays"]


class Runtime:
    """Runtime that calls a fitted model, and converts its outputs to labels, numbers and probabilities.

    This class calls ``predict``, and ``predict_proba`` if there is one. A subclass for models with another
    interface overrides `predict`.

    Args:
        model: Fitted model.
        to_input: Function that converts a table to the rows that *model* takes.

    Attributes:
        classes: Class labels of each output; None if all outputs are numbers.
        has_probabilities: Whether `predict` returns probabilities.
    """

    def __init__(self, model: Any, to_input: Callable[[Table], Any]) -> None:
        self._model = model
        self._to_input = to_input
        self.classes: list[list[Any]] | None = stored_classes(model)
        self.has_probabilities = self.classes is not None and hasattr(model, "predict_proba")

    def predict(self, table: Table) -> PlanOutput:
        """Return values of shape (rows,) or (rows, outputs), and probabilities.

        The probabilities are one of the following:

        - for one output, an array of shape (rows, classes),
        - for several outputs, a list of such arrays, or an array of shape (rows, labels) with the
          probability that each label is present,
        - for a model without probabilities, None.
        """
        # Converted for each call: a transformer with copy=False changes its input.
        values = to_plain_array(self._model.predict(self._to_input(table)))
        if not self.has_probabilities:
            return values, None
        return values, to_arrays(self._model.predict_proba(self._to_input(table)))


def to_arrays(probabilities: Any) -> Any:
    """Return the output of ``predict_proba`` as a new array, or as a list with a new array for each output."""
    if isinstance(probabilities, list) and np.ndim(probabilities[0]) == 2:
        return list(map(np.array, probabilities))
    return np.array(probabilities)
