"""Plans for scalers, which compute in scikit-learn's order of operations."""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ...schema import Table
from .base import FeatureSource, Numbers, ReadFn, register_transformer

__all__: list[str] = []

_Operation: TypeAlias = tuple[np.ufunc, Numbers]
_MODULE = "sklearn.preprocessing._data"


@register_transformer(_MODULE, "StandardScaler")
def _plan_standard(step: Any, source: FeatureSource) -> FeatureSource:
    operations = [(np.subtract, step.mean_)] if step.with_mean else []
    return _scaled(step, source, operations + ([(np.divide, step.scale_)] if step.with_std else []))


@register_transformer(_MODULE, "RobustScaler")
def _plan_robust(step: Any, source: FeatureSource) -> FeatureSource:
    operations = [(np.subtract, step.center_)] if step.with_centering else []
    return _scaled(step, source, operations + ([(np.divide, step.scale_)] if step.with_scaling else []))


@register_transformer(_MODULE, "MinMaxScaler")
def _plan_min_max(step: Any, source: FeatureSource) -> FeatureSource:
    operations = [(np.multiply, step.scale_), (np.add, step.min_)]
    return _scaled(step, source, operations, step.feature_range if step.clip else None)


@register_transformer(_MODULE, "MaxAbsScaler")
def _plan_max_abs(step: Any, source: FeatureSource) -> FeatureSource:
    clips = getattr(step, "clip", False)  # since scikit-learn 1.8
    return _scaled(step, source, [(np.divide, step.scale_)], (-1.0, 1.0) if clips else None)


def _scaled(
    step: Any,
    source: FeatureSource,
    operations: Sequence[_Operation],
    limits: tuple[float, float] | None = None,
) -> FeatureSource:
    return FeatureSource(read=partial(_scale, source.number_or_nan_reader(step), tuple(operations), limits))


def _scale(
    read: ReadFn, operations: tuple[_Operation, ...], limits: tuple[float, float] | None, table: Table
) -> Numbers:
    block = read(table)
    for operation, operand in operations:
        block = operation(block, operand)
    return block if limits is None else np.minimum(np.maximum(block, limits[0]), limits[1])
