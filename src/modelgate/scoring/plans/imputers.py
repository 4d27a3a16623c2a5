"""SimpleImputer, of numbers and of text."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .parts import Cells, NoPlan, Numbers, Reading, Source, transformer

__all__: list[str] = []


@transformer("sklearn.impute._base", "SimpleImputer")
def _simple(step: Any, source: Source) -> Source:
    if step.missing_values is not None and step.missing_values == step.missing_values:
        raise NoPlan(f"SimpleImputer fills in {step.missing_values!r}")
    fill = step.statistics_.tolist()
    if any(value != value for value in fill):
        raise NoPlan("SimpleImputer drops columns without values")
    if any(isinstance(value, str) for value in fill) and not step.add_indicator:
        return Source(cells=partial(_fill_cells, source.values(step), fill))
    told = step.indicator_.features_ if step.add_indicator else None
    return Source(read=partial(_fill, source.numbers_or_nan(step), np.array(fill, dtype=np.float64), told))


def _fill(read: Reading, fill: Numbers, told: Any, table: Table) -> Numbers:
    block = read(table)
    missing = np.isnan(block)
    if missing.any():
        block = block.copy("K")
        np.copyto(block, fill, where=missing)
    return block if told is None else np.hstack([block, missing[:, told]])


def _fill_cells(cells: Cells, fill: list[Any], table: Table) -> list[Sequence[Any]]:
    return [
        [told if value is None else value for value in column]
        for column, told in zip(cells(table), fill, strict=True)
    ]
