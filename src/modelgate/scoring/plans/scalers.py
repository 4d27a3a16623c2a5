"""Scalers: arithmetic column by column, in scikit-learn's order of operations."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ...schema import Table
from .parts import Numbers, Reading, Source, transformer

__all__: list[str] = []

_Operation: TypeAlias = Callable[[Numbers], Numbers]
_MODULE = "sklearn.preprocessing._data"


@transformer(_MODULE, "StandardScaler")
def _standard(step: Any, source: Source) -> Source:
    operations = [_by(np.subtract, step.mean_)] if step.with_mean else []
    return _scaled(step, source, operations + ([_by(np.divide, step.scale_)] if step.with_std else []))


@transformer(_MODULE, "RobustScaler")
def _robust(step: Any, source: Source) -> Source:
    operations = [_by(np.subtract, step.center_)] if step.with_centering else []
    return _scaled(step, source, operations + ([_by(np.divide, step.scale_)] if step.with_scaling else []))


@transformer(_MODULE, "MinMaxScaler")
def _min_max(step: Any, source: Source) -> Source:
    operations = [_by(np.multiply, step.scale_), _by(np.add, step.min_)]
    return _scaled(step, source, operations, step.feature_range if step.clip else None)


@transformer(_MODULE, "MaxAbsScaler")
def _max_abs(step: Any, source: Source) -> Source:
    clips = getattr(step, "clip", False)  # since scikit-learn 1.8
    return _scaled(step, source, [_by(np.divide, step.scale_)], (-1.0, 1.0) if clips else None)


def _by(operation: np.ufunc, operand: Numbers) -> _Operation:
    return lambda block: operation(block, operand)


def _scaled(
    step: Any, source: Source, operations: list[_Operation], limits: tuple[float, float] | None = None
) -> Source:
    return Source(read=partial(_scale, source.numbers_or_nan(step), tuple(operations), limits))


def _scale(
    read: Reading, operations: tuple[_Operation, ...], limits: tuple[float, float] | None, table: Table
) -> Numbers:
    block = read(table)
    for operation in operations:
        block = operation(block)
    return block if limits is None else np.minimum(np.maximum(block, limits[0]), limits[1])
