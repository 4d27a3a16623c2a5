"""Plans for SimpleImputer, for numbers and for text."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .base import ColumnReader, FeatureSource, Numbers, ReadFn, Unplannable, register_transformer

__all__: list[str] = []


@register_transformer("sklearn.impute._base", "SimpleImputer")
def _plan_simple_imputer(step: Any, source: FeatureSource) -> FeatureSource:
    if step.missing_values is not None and step.missing_values == step.missing_values:
        raise Unplannable(f"SimpleImputer replaces {step.missing_values!r}, not null")
    fill = step.statistics_.tolist()
    if any(value != value for value in fill):
        raise Unplannable("SimpleImputer drops columns without values")
    if any(isinstance(value, str) for value in fill) and not step.add_indicator:
        return FeatureSource(read_columns=partial(_fill_columns, source.column_reader(step), fill))
    read = source.number_or_nan_reader(step)
    indicators = step.indicator_.features_ if step.add_indicator else None
    return FeatureSource(read=partial(_fill_numbers, read, np.array(fill, dtype=np.float64), indicators))


def _fill_numbers(read: ReadFn, fill: Numbers, indicators: Any, table: Table) -> Numbers:
    block = read(table)
    missing = np.isnan(block)
    if missing.any():
        block = block.copy("K")
        np.copyto(block, fill, where=missing)
    return block if indicators is None else np.hstack([block, missing[:, indicators]])


def _fill_columns(read_columns: ColumnReader, fill: list[Any], table: Table) -> list[Sequence[Any]]:
    return [
        [replacement if value is None else value for value in column]
        for column, replacement in zip(read_columns(table), fill, strict=True)
    ]
