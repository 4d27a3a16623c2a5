"""Predict with the models of a `MultiTarget`, or with the exact plans of these models."""

from collections.abc import Hashable
from typing import Any

from ..errors import error_context
from ..models import MultiTarget
from ..schema import Schema, Table
from .estimator import Estimator
from .prediction import Prediction

__all__ = ["MultiTargetEstimator", "create_estimator"]


class MultiTargetEstimator(Estimator):
    """Predictor function of a `MultiTarget`, which calls all of its models.

    The options are those of `Estimator`.
    """

    def __init__(self, model: MultiTarget, schema: Schema, *, name: str, **options: Any) -> None:
        self.model, self._estimators = model, []
        for target, part in model.target_models.items():
            with error_context(f"target {target!r}"):
                self._estimators.append(Estimator(part, schema, target, name=f"{name}.{target}", **options))
        planned = sum(not isinstance(estimator.plan, str) for estimator in self._estimators)
        self.plan = f"{planned} of its {len(self._estimators)} models have exact plans"
        keys = [estimator.dtype_key for estimator in self._estimators if estimator.dtype_key is not None]
        self._dtype_keys = keys
        self.dtype_key = self._join_dtype_keys if keys else None

    def __call__(self, table: Table) -> Prediction:
        """Return the outputs of all models for *table*, in the order of the targets."""
        return Prediction([output for estimator in self._estimators for output in estimator(table).outputs])

    def _join_dtype_keys(self, table: Table) -> Hashable:
        return tuple(key(table) for key in self._dtype_keys)


def create_estimator(model: Any, schema: Schema, target: Any, **options: Any) -> Estimator:
    """Return the estimator of *model*, which may be a `MultiTarget`. See `Estimator` for the options."""
    if isinstance(model, MultiTarget):
        return MultiTargetEstimator(model, schema, **options)
    return Estimator(model, schema, target, **options)
