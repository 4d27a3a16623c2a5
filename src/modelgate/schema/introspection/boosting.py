"""Find the categorical columns of XGBoost, LightGBM and CatBoost models, and their stored levels."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ...errors import ConfigurationError
from ..columns import Column
from .column_paths import first_inside
from .libraries import library_of

__all__ = [
    "categorical_columns",
    "has_unassigned_categories",
    "levels_to_array",
    "match_categories",
    "stored_categories",
]

logger = logging.getLogger("modelgate")

_Levels: TypeAlias = npt.NDArray[Any]

_xgboost_levels: WeakKeyDictionary[Any, Mapping[int, _Levels | None]] = WeakKeyDictionary()
"""Cached levels by booster. Reading levels may take a second, because XGBoost writes the model as JSON."""

_LIGHTGBM_COLUMNS = re.compile(r"\[categorical_feature: ([\d,]+)\]")
"""Indices of the categorical features in a model's text. In ``Booster.params``, their key varies."""

_LIGHTGBM_VALUES = re.compile(r"^feature_infos=(.*)$", re.MULTILINE)

_XGBOOST_INTEGERS = {9: np.int8, 10: np.uint8, 11: np.int16, 13: np.int32, 15: np.int64}
"""dtypes of integer categories in XGBoost's JSON, by their code in ``include/xgboost/json.h``.

XGBoost rejects categories of another dtype than in training."""


def stored_categories(model: Any) -> Mapping[int, _Levels | None]:
    """Return the levels of the columns that *model* expects in the category dtype of pandas, by column index.

    The levels of a column are None if the model does not store levels, as in XGBoost before version 3.1.

    LightGBM stores lists of levels, but not the column of each list. The lists are assigned to the columns
    declared as categorical features. If the lists do not fit these columns, the result is empty.
    """
    booster = _find_booster(model)
    if library_of(booster) == "xgboost":
        return _read_xgboost(booster)
    levels = _lightgbm_levels(booster)
    return _find_lightgbm_columns(booster.model_to_string(num_iteration=1), levels) if levels else {}


def has_unassigned_categories(model: Any) -> bool:
    """Return whether *model* stores levels, but not which columns they belong to.

    This is the case for ordered categories in LightGBM.
    """
    return bool(_lightgbm_levels(_find_booster(model))) and not stored_categories(model)


def match_categories(
    model: Any, names: Sequence[str], columns: Mapping[str, Column], passed: Mapping[str, _Levels | None]
) -> Mapping[str, _Levels]:
    """Return the levels of the columns that *model* expects in the category dtype, by column name.

    Args:
        model: Fitted model.
        names: Column names, in the order of the model.
        columns: Columns of the schema, by name. Their levels identify the categorical columns of LightGBM,
            and are used for any model that stores no levels.
        passed: Levels of the columns that another step passes to the model as categories, by column name;
            None for a column whose levels are unknown.

    Raises:
        ConfigurationError: Neither the model nor the schema has the levels of a categorical column.
    """
    booster = _find_booster(model)
    levels = _lightgbm_levels(booster)
    matched = _match_levels(levels, [columns[name] for name in names])
    if len(matched) == len(levels) > 0:
        return matched
    found = {names[index]: values for index, values in stored_categories(booster).items()} | dict(passed)
    for name, values in found.items():
        declared = columns[name].levels
        if values is None and declared is not None:
            found[name] = levels_to_array(declared)
            if columns[name].dtype is None and list(declared) != sorted(declared, key=_pandas_order):
                logger.warning(
                    "column %s: levels are not sorted, and the model does not store their order: list them in"
                    ' the order of the training data, and confirm this with Column(…, dtype="category")',
                    name,
                )
    missing = [name for name, values in found.items() if values is None]
    if missing or len(levels) > len(found):
        which = f"column {missing[0]!r}" if missing else "the model's categorical columns"
        raise ConfigurationError(
            f"schema must have the levels of {which} in the order of training:"
            " set schema=Schema.from_sample(frame), with the training DataFrame"
        )
    return {name: values for name, values in found.items() if values is not None}


def _pandas_order(level: Any) -> tuple[str, Any]:
    """Return a sort key for *level* that sorts levels as pandas sorts categories by default."""
    return type(level).__name__, level


def categorical_columns(model: Any) -> list[int]:
    """Return the indices of the categorical columns of a CatBoost model; an empty list for any other model.

    CatBoost accepts integers and texts in these columns, but no floats.
    """
    booster = _find_booster(model)
    return list(booster.get_cat_feature_indices()) if library_of(booster) == "catboost" else []


def _find_booster(model: Any) -> Any:
    """Return the native booster of the first XGBoost, LightGBM or CatBoost model in *model*, or None."""
    while model is not None and library_of(model) not in ("xgboost", "lightgbm", "catboost"):
        model = first_inside(model)
    if hasattr(model, "get_booster"):
        return model.get_booster()
    return getattr(model, "booster_", model) if library_of(model) == "lightgbm" else model


def _lightgbm_levels(booster: Any) -> list[_Levels]:
    levels = getattr(booster, "pandas_categorical", None) if library_of(booster) == "lightgbm" else None
    return [np.array(values, dtype=object if isinstance(values[0], str) else None) for values in levels or ()]


def _find_lightgbm_columns(text: str, levels: Sequence[_Levels]) -> Mapping[int, _Levels]:
    """Return the *levels* of each categorical feature, by feature index.

    The mapping is empty if the levels do not fit the features.

    Args:
        text: Model as text, which lists the values of each feature as indices of levels: ``-1:0:2:1``.
        levels: Lists of levels, in the order of the model.
    """
    declared, infos = _LIGHTGBM_COLUMNS.search(text), _LIGHTGBM_VALUES.search(text)
    if declared is None or infos is None:
        return {}
    indices, values = sorted(map(int, declared[1].split(","))), infos[1].split(" ")
    largest = [max(map(int, re.findall(r"\d+", values[index])), default=0) for index in indices]
    fits = len(indices) == len(levels) and all(map(int.__lt__, largest, map(len, levels)))
    return dict(zip(indices, levels, strict=True)) if fits else {}


def _match_levels(levels: Sequence[_Levels], columns: Sequence[Column]) -> dict[str, _Levels]:
    """Match each list in *levels* to a column with the same levels. Return the lists by column name.

    Both *levels* and *columns* must be in the order of the model.
    """
    matched: dict[str, _Levels] = {}
    for column in columns:
        following = levels[len(matched) :]
        if following and column.levels is not None and set(column.levels) == set(following[0].tolist()):
            matched[column.name] = following[0]
    return matched


def _read_xgboost(booster: Any) -> Mapping[int, _Levels | None]:
    types = getattr(booster, "feature_types", None) or []
    indices = [index for index, name in enumerate(types) if name == "c"]
    if not indices:
        return {}
    if booster not in _xgboost_levels:
        _xgboost_levels[booster] = _parse_xgboost(booster, indices)
    return _xgboost_levels[booster]


def _parse_xgboost(booster: Any, indices: Sequence[int]) -> Mapping[int, _Levels | None]:
    try:
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        encoders = learner["gradient_booster"]["model"]["cats"]["enc"]
        return {index: _decode_xgboost(encoders[index]) for index in indices}
    except Exception:  # an older version, or categories of a dtype that it cannot write as JSON
        return dict.fromkeys(indices)


def _decode_xgboost(encoder: Mapping[str, Any]) -> _Levels | None:
    """Return the levels stored in *encoder*.

    Integer levels are stored as integers. Text levels are stored as the bytes of all texts, with the offset
    of each text.
    """
    if "type" in encoder:
        return np.array(encoder["values"], dtype=_XGBOOST_INTEGERS[encoder["type"]])
    characters, offsets = bytes(value % 256 for value in encoder["values"]), encoder["offsets"]
    texts = [characters[start:stop].decode() for start, stop in pairwise(offsets)]
    return levels_to_array(texts)


def levels_to_array(levels: Sequence[Any]) -> _Levels:
    """Return *levels* as an array. Its dtype is object if the levels are texts."""
    return np.array(levels, dtype=object if isinstance(levels[0], str) else None)
