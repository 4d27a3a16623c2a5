"""Runtimes: how the models of each library are called, and what their outputs mean.

The columns of a model, and the rows that it takes, are found in `modelgate.schema`. Results of statsmodels
need no runtime of their own: their ``predict`` returns numbers.
"""

from collections.abc import Callable
from typing import Any

from ...models.onnx import OnnxModel
from ...schema import Table
from ...schema.introspection.libraries import is_native_booster, library_of
from .base import Runtime
from .catboost import CatBoostRuntime
from .lightgbm import LightGBMRuntime
from .mlflow import MLflowRuntime
from .onnx import OnnxRuntime
from .xgboost import XGBoostRuntime

__all__ = ["Runtime", "find_runtime"]

_BOOSTERS: dict[str, type[Runtime]] = {"lightgbm": LightGBMRuntime, "xgboost": XGBoostRuntime}


def find_runtime(model: Any) -> Callable[[Any, Callable[[Table], Any]], Runtime]:
    """Return the class of the runtime that calls *model*."""
    library = library_of(model)
    if isinstance(model, OnnxModel):
        return OnnxRuntime
    if is_native_booster(model):
        return _BOOSTERS[library]
    if library == "mlflow":
        return MLflowRuntime
    return CatBoostRuntime if library == "catboost" and type(model).__name__ == "CatBoost" else Runtime
