"""Runtime for MLflow's ``PyFuncModel``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...schema import Table
from ...schema.introspection.libraries import mlflow_inputs
from ..plans.base import PlanOutput
from .base import Runtime

__all__ = ["MLflowRuntime"]

_DTYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "datetime": "datetime64[ns]",
}
"""dtypes by MLflow type. MLflow rejects a column of another dtype if the conversion could lose digits."""


class MLflowRuntime(Runtime):
    """Runtime that calls a ``PyFuncModel`` with a DataFrame that has the dtypes of the model's signature.

    The model may return an array, a list, a Series, or a DataFrame with a column for each output.
    """

    def __init__(self, model: Any, to_input: Callable[[Table], Any]) -> None:
        super().__init__(model, to_input)
        inputs = mlflow_inputs(model)
        types = {} if inputs is None else dict(zip(inputs.input_names(), inputs.input_types(), strict=True))
        self._dtypes = {name: _DTYPES[type_.name] for name, type_ in types.items() if type_.name in _DTYPES}

    def predict(self, table: Table) -> PlanOutput:
        frame = self._to_input(table)
        nullable = frame.columns[frame.isna().any()]
        dtypes = {name: dtype for name, dtype in self._dtypes.items() if name not in nullable}
        return np.array(self._model.predict(frame.astype(dtypes))), None
