"""Encoders of categories: each value is looked up, and stands for a row of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .parts import Cells, NoPlan, NotPlanned, Numbers, Reading, Source, transformer

__all__: list[str] = []


_MOST_ONES = 1_000_000
"""How many numbers the rows of a one-hot encoder may have: 8 MB, or a thousand levels."""

_MOST_CELLS = 10_000_000
"""How many numbers may stand for a sparse matrix: 80 MB."""


@dataclass(frozen=True, slots=True)
class _LookUp:
    """How a column is encoded.

    Args:
        place: of each category among *rows*.
        rows: what each category becomes; the last one is for what is no category.
        ignores: whether that is allowed.
    """

    place: Mapping[Any, int]
    rows: Numbers
    ignores: bool

    def __call__(self, values: Sequence[Any]) -> Numbers:
        place, other = self.place, len(self.rows) - 1
        # KeyError where the encoder refuses: it shall say so itself.
        found = [place.get(value, other) for value in values] if self.ignores else [place[v] for v in values]
        return self.rows.take(found, axis=0)


@transformer("sklearn.preprocessing._encoders", "OneHotEncoder")
def _one_hot(step: Any, source: Source) -> Source:
    _refuse_infrequent(step)
    if sum(len(categories) ** 2 for categories in step.categories_) > _MOST_ONES:
        raise NoPlan("OneHotEncoder knows too many levels to keep a row for each")
    dropped = [None] * len(step.categories_) if step.drop_idx_ is None else step.drop_idx_
    rows = []
    for categories, drop in zip(step.categories_, dropped, strict=True):
        ones = np.eye(len(categories) + 1, len(categories), dtype=np.float64)
        rows.append(ones if drop is None else np.delete(ones, drop, axis=1))
    return _encoded(step, source, rows, ignores=step.handle_unknown != "error", sparse=step.sparse_output)


@transformer("sklearn.preprocessing._encoders", "OrdinalEncoder")
def _ordinal(step: Any, source: Source) -> Source:
    _refuse_infrequent(step)
    ignores = step.handle_unknown == "use_encoded_value"
    rows = []
    for categories in step.categories_:
        codes = np.arange(len(categories) + 1, dtype=np.float64)
        codes[:-1][[_is_null(value) for value in categories.tolist()]] = step.encoded_missing_value
        codes[-1] = step.unknown_value if ignores else np.nan
        rows.append(codes[:, None])
    return _encoded(step, source, rows, ignores=ignores)


@transformer("sklearn.preprocessing._target_encoder", "TargetEncoder")
def _target(step: Any, source: Source) -> Source:
    means = np.atleast_1d(step.target_mean_)
    parts = [np.append(encoding, means[at % len(means)]) for at, encoding in enumerate(step.encodings_)]
    rows = [np.column_stack(parts[at : at + len(means)]) for at in range(0, len(parts), len(means))]
    return _encoded(step, source, rows, ignores=True)


def _refuse_infrequent(step: Any) -> None:
    if step.min_frequency is not None or step.max_categories is not None:
        raise NoPlan(f"{type(step).__name__} puts infrequent categories together")
    # float32 would go on as float32; whole numbers become float64 in every step that follows.
    if np.dtype(step.dtype) != np.float64 and np.dtype(step.dtype).kind not in "iu":
        raise NoPlan(f"{type(step).__name__} gives {np.dtype(step.dtype)}")


def _encoded(
    step: Any, source: Source, rows: Sequence[Numbers], *, ignores: bool, sparse: bool = False
) -> Source:
    look_ups = [
        _LookUp(_places(categories.tolist()), told, ignores)
        for categories, told in zip(step.categories_, rows, strict=True)
    ]
    encode = partial(_encode, source.values(step), look_ups)
    width = sum(told.shape[1] for told in rows)
    return Source(
        read=partial(_encode_few, encode, _MOST_CELLS // width) if sparse else encode, sparse=sparse
    )


def _places(categories: list[Any]) -> dict[Any, int]:
    """Of a null too: one that is given as NaN, or as None where the encoder knows None."""
    places = {value: at for at, value in enumerate(categories) if not _is_null(value)}
    nulls = sorted((value is not None, at) for at, value in enumerate(categories) if _is_null(value))
    if nulls:
        places[None] = nulls[0][1]
    return places


def _is_null(value: Any) -> bool:
    return value is None or value != value


def _encode_few(encode: Reading, most: int, table: Table) -> Numbers:
    if len(table) > most:
        raise NotPlanned
    return encode(table)


def _encode(cells: Cells, look_ups: Sequence[_LookUp], table: Table) -> Numbers:
    parts = [look_up(values) for look_up, values in zip(look_ups, cells(table), strict=True)]
    return parts[0] if len(parts) == 1 else np.ascontiguousarray(np.concatenate(parts, axis=1))
