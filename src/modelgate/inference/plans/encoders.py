"""Plans for category encoders, which map each value to a row of numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .base import FallBack, FeatureSource, Numbers, Unplannable, register_transformer

__all__: list[str] = []


_MAX_ONE_HOT = 1_000_000
"""Largest number of numbers that the plan of a OneHotEncoder stores: 8 MB, enough for 1000 categories."""

_MAX_DENSE = 10_000_000
"""Largest number of numbers in an array that replaces a sparse matrix: 80 MB."""


@dataclass(frozen=True, slots=True)
class _LookUp:
    """Encoder of one column.

    Args:
        indices: For each category, the index of its row in *rows*.
        rows: Encoded categories, one row of numbers for each. The last row is for unknown values.
        ignore_unknown: Whether unknown values are allowed. If False, they raise a KeyError.
    """

    indices: Mapping[Any, int]
    rows: Numbers
    ignore_unknown: bool

    def __call__(self, values: Sequence[Any]) -> Numbers:
        if self.ignore_unknown:
            unknown = len(self.rows) - 1
            found = [self.indices.get(value, unknown) for value in values]
        else:
            # After a KeyError, the estimator is called, which raises its own error.
            found = [self.indices[value] for value in values]
        return self.rows.take(found, axis=0)


@register_transformer("sklearn.preprocessing._encoders", "OneHotEncoder")
def _plan_one_hot(step: Any, source: FeatureSource) -> FeatureSource:
    _check_encoder(step)
    if sum(len(categories) ** 2 for categories in step.categories_) > _MAX_ONE_HOT:
        raise Unplannable("OneHotEncoder has too many categories to store an encoded row for each")
    dropped = [None] * len(step.categories_) if step.drop_idx_ is None else step.drop_idx_
    rows = []
    for categories, drop in zip(step.categories_, dropped, strict=True):
        ones = np.eye(len(categories) + 1, len(categories), dtype=np.float64)
        rows.append(ones if drop is None else np.delete(ones, drop, axis=1))
    ignore_unknown = step.handle_unknown != "error"
    return _encoded(step, source, rows, ignore_unknown=ignore_unknown, sparse=step.sparse_output)


@register_transformer("sklearn.preprocessing._encoders", "OrdinalEncoder")
def _plan_ordinal(step: Any, source: FeatureSource) -> FeatureSource:
    _check_encoder(step)
    ignore_unknown = step.handle_unknown == "use_encoded_value"
    rows = []
    for categories in step.categories_:
        codes = np.arange(len(categories) + 1, dtype=np.float64)
        codes[:-1][[_is_null(value) for value in categories.tolist()]] = step.encoded_missing_value
        codes[-1] = step.unknown_value if ignore_unknown else np.nan
        rows.append(codes[:, None])
    return _encoded(step, source, rows, ignore_unknown=ignore_unknown)


@register_transformer("sklearn.preprocessing._target_encoder", "TargetEncoder")
def _plan_target(step: Any, source: FeatureSource) -> FeatureSource:
    means = np.atleast_1d(step.target_mean_)
    count = len(means)
    # There is one encoding for each feature and class. Unknown values get the mean of the class.
    parts = [np.append(encoding, means[index % count]) for index, encoding in enumerate(step.encodings_)]
    rows = [np.column_stack(parts[start : start + count]) for start in range(0, len(parts), count)]
    return _encoded(step, source, rows, ignore_unknown=True)


def _check_encoder(step: Any) -> None:
    if step.min_frequency is not None or step.max_categories is not None:
        raise Unplannable(f"{type(step).__name__} groups infrequent categories")
    # Integers become float64 in the next step, but float32 would stay float32.
    if np.dtype(step.dtype) != np.float64 and np.dtype(step.dtype).kind not in "iu":
        raise Unplannable(f"{type(step).__name__} returns {np.dtype(step.dtype)}")


def _encoded(
    step: Any, source: FeatureSource, rows: Sequence[Numbers], *, ignore_unknown: bool, sparse: bool = False
) -> FeatureSource:
    look_ups = [
        _LookUp(_category_indices(categories.tolist()), numbers, ignore_unknown)
        for categories, numbers in zip(step.categories_, rows, strict=True)
    ]
    width = sum(numbers.shape[1] for numbers in rows)
    max_rows = _MAX_DENSE // width if sparse else math.inf
    return FeatureSource(
        read=source.encoded_reader(step, partial(_encode, look_ups, max_rows)), sparse=sparse
    )


def _category_indices(categories: list[Any]) -> dict[Any, int]:
    """Return the index of each category. The key of null (NaN or None) is None."""
    indices = {value: index for index, value in enumerate(categories) if not _is_null(value)}
    # If both None and NaN are categories, null is passed to the encoder as None.
    nulls = sorted((value is not None, index) for index, value in enumerate(categories) if _is_null(value))
    if nulls:
        indices[None] = nulls[0][1]
    return indices


def _is_null(value: Any) -> bool:
    return value is None or value != value


def _encode(look_ups: Sequence[_LookUp], max_rows: float, columns: Sequence[Sequence[Any]]) -> Numbers:
    if len(columns[0]) > max_rows:
        raise FallBack
    parts = [look_up(values) for look_up, values in zip(look_ups, columns, strict=True)]
    return parts[0] if len(parts) == 1 else np.ascontiguousarray(np.concatenate(parts, axis=1))
