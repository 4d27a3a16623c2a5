"""Runtimes, which call the models of each library and interpret their outputs.

`modelgate.schema` determines the columns of a model and the form of its rows. Models of statsmodels and the
scikit-learn classes of XGBoost, LightGBM and CatBoost use the runtime for scikit-learn.
"""

from collections.abc import Callable
from typing import Any

from ...models.onnx import OnnxModel
from ...schema import Table
from ...schema.introspection.libraries import is_native_booster, library_of
from .base import Runtime
from .booster import BoosterRuntime
from .catboost import CatBoostRuntime
from .mlflow import MLflowRuntime
from .onnx import OnnxRuntime

__all__ = ["Runtime", "find_runtime"]


def find_runtime(model: Any) -> Callable[[Any, Callable[[Table], Any]], Runtime]:
    """Return the class of the runtime that calls *model*."""
    library = library_of(model)
    if isinstance(model, OnnxModel):
        return OnnxRuntime
    if is_native_booster(model):
        return BoosterRuntime
    if library == "mlflow":
        return MLflowRuntime
    return CatBoostRuntime if library == "catboost" and type(model).__name__ == "CatBoost" else Runtime
