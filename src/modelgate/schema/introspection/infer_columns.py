"""Infer input columns and outputs from a fitted scikit-learn estimator."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ConfigurationError
from ..coerce import coerce_to_kind, to_json_value
from ..columns import EXACT, Column, Kind, Level
from ..datetimes import read_datetime_dtype
from .boosting import categorical_columns, stored_categories
from .classes import final_estimator, stored_classes, target_models
from .column_paths import ColumnPath, input_names, paths_through, stored_names
from .estimator_info import (
    column_kind,
    encodes_none,
    encodes_objects,
    has_tag,
    imputes,
    is_passthrough,
    only_checks_names,
    takes_anything,
    training_stats,
)
from .libraries import accepts_null, mlflow_inputs
from .mlflow import read_mlflow_signature

__all__ = ["find_none_columns", "infer_columns", "merge_columns", "outputs_of", "passed_categories"]


def infer_columns(model: Any) -> list[Column]:
    """Return the columns that *model* needs, in the order of its training data.

    Columns that a ColumnTransformer drops are left out, although ``feature_names_in_`` contains them.
    Columns of numbers accept booleans, because a model does not store which of its columns held booleans in
    training.

    Raises:
        ConfigurationError: The model stores neither the names nor the number of its input columns, or
            encodes values that JSON cannot represent.
    """
    parts = target_models(model)
    if parts is not None:
        return merge_columns(map(infer_columns, parts.values()))
    inputs = mlflow_inputs(model)
    if inputs is not None:
        return read_mlflow_signature(inputs)
    columns: dict[str, Column] = {}
    for path in paths_through(model):
        column = _infer_column(path)
        columns[path.name] = _merge(columns[path.name], column) if path.name in columns else column
    for name, levels in passed_categories(model).items():
        if levels is not None:
            columns[name] = replace(_with_levels(name, levels.tolist(), nullable=True), dtype="category")
    names = input_names(model)
    _add_categories(model, names, columns)
    if stored_names(model) != names:
        # A model fitted on an array needs a value at every position, even for columns that it drops.
        kind: Kind = "number" if all(column.numeric for column in columns.values()) else "any"
        optional = {name: Column(name, kind, required=False, nullable=True) for name in names}
        columns = optional | columns
    return [_accept_booleans(columns[name]) for name in names if name in columns]


def merge_columns(lists: Iterable[Sequence[Column]]) -> list[Column]:
    """Merge the columns of several models that predict the same rows.

    A shared column gets the stricter rules.
    """
    merged: dict[str, Column] = {}
    for column in chain.from_iterable(lists):
        merged[column.name] = _merge(merged[column.name], column) if column.name in merged else column
    return list(merged.values())


def _accept_booleans(column: Column) -> Column:
    return replace(column, accepts_booleans=column.kind in ("number", "integer"))


def _add_categories(model: Any, names: Sequence[str], columns: dict[str, Column]) -> None:
    """Set the levels of those *columns* that *model* expects in the category dtype of pandas.

    If there are such columns, all other columns of the kind ``any`` get the kind ``number``. In XGBoost, all
    columns had the kind ``any``, because its scikit-learn tags declare all columns categorical. Categorical
    columns of CatBoost are not nullable, because CatBoost rejects null as a category.
    """
    stored = stored_categories(model)
    for index, name in enumerate(names):
        levels = stored.get(index)
        if levels is not None:
            columns[name] = _with_levels(name, levels.tolist(), nullable=True)
        elif index in stored:
            columns[name] = Column(name, "any", nullable=True)
        elif stored and columns[name].kind == "any":
            columns[name] = replace(columns[name], kind="number")
    for index in categorical_columns(model):
        columns[names[index]] = replace(columns[names[index]], nullable=False)


def passed_categories(model: Any) -> Mapping[str, npt.NDArray[Any] | None]:
    """Return the levels of columns that a ColumnTransformer passes to XGBoost or LightGBM as categories.

    The levels of a column are None if the model does not store them, as in XGBoost before version 3.1.
    """
    stored: dict[int, Mapping[Any, npt.NDArray[Any] | None]] = {}
    categories = {}
    for path in paths_through(model):
        *earlier, (booster, index) = _deciding_steps(path) or [(None, None)]
        # Before scikit-learn 1.4, a column that is passed through has no step of its own.
        is_direct = not path.steps or path.steps[0][0] is booster
        if not is_direct and all(is_passthrough(step) for step, _ in earlier) and accepts_null(booster):
            if id(booster) not in stored:
                stored[id(booster)] = stored_categories(booster)
            if index in stored[id(booster)]:
                categories[path.name] = stored[id(booster)][index]
    return categories


def find_none_columns(model: Any) -> frozenset[str]:
    """Return the names of the columns in which null must be None. In all other columns, null must be NaN."""
    return frozenset(
        path.name
        for path in paths_through(model)
        if any(encodes_none(step, index) for step, index in _deciding_steps(path))
    )


def outputs_of(model: Any) -> tuple[tuple[Level, ...] | None, ...]:
    """Return one item for each output of *model*: its classes as in ``classes_``, or None for numbers."""
    parts = target_models(model)
    if parts is not None:
        return tuple(chain.from_iterable(map(outputs_of, parts.values())))
    estimator = final_estimator(model)
    classes = stored_classes(model)
    if classes is None:
        return (None,) * _count_numeric_outputs(estimator)
    binarizer = getattr(estimator, "_label_binarizer", None) or getattr(estimator, "label_binarizer_", None)
    if str(getattr(binarizer, "y_type_", "")).startswith("multilabel"):
        # Each label is an output with the classes 0 and 1. classes_ only lists the indices of the labels.
        return ((0, 1),) * len(classes[0])
    return tuple(map(tuple, classes))


def _count_numeric_outputs(estimator: Any) -> int:
    count = getattr(estimator, "n_outputs_", None)
    if count is not None:
        return int(count)
    if type(estimator).__name__ in ("MultiOutputRegressor", "RegressorChain"):
        return len(estimator.estimators_)
    # A linear model has coefficients of shape (outputs, columns). A nearest-neighbors model stores the
    # training targets, of shape (rows, outputs).
    shape, axis = getattr(getattr(estimator, "coef_", None), "shape", ()), 0
    if hasattr(estimator, "n_samples_fit_"):
        shape, axis = getattr(getattr(estimator, "_y", None), "shape", ()), 1
    return int(shape[axis]) if len(shape) == 2 else 1


def _infer_column(path: ColumnPath) -> Column:
    steps = _deciding_steps(path)
    if not steps:
        # A nested estimator drops this column, but requires it in its input.
        return Column(path.name, "any", required=False, nullable=True)
    kind = column_kind(*steps[-1])
    if kind == "any" and any(getattr(step, "strategy", "") in ("mean", "median") for step, _ in steps[:-1]):
        kind = "number"
    typical, observed = training_stats(steps)
    if isinstance(kind, list):
        encodes = hasattr(steps[-1][0], "categories_")
        nullable = _is_imputed(steps[:-1]) if encodes else _accepts_null(path)
        column = _with_levels(path.name, kind, nullable, dates=encodes)
        if column.numeric and encodes_objects(*steps[-1]):
            none = any(encodes_none(*step) for step in steps)
            column = replace(column, dtype="object", missing_value="None" if none else None)
        return _with_training_stats(column, typical, observed)
    if kind is None or kind == "any":
        # A column of unknown kind may be null, unless it goes to a MissingIndicator that rejects nulls.
        indicated = type(steps[-1][0]).__name__ == "MissingIndicator"
        return Column(path.name, "any", nullable=not indicated or _accepts_null(path))
    return _with_training_stats(Column(path.name, kind, nullable=_accepts_null(path)), typical, observed)


def _deciding_steps(path: ColumnPath) -> list[tuple[Any, int | None]]:
    """Return the steps of *path* up to the one that determines the kind of its column."""
    steps: list[tuple[Any, int | None]] = []
    for step, index in path.steps:
        if not only_checks_names(step):
            steps.append((step, index))
            if column_kind(step, index) is not None:
                break
    return steps


def _with_levels(name: str, values: list[Any], nullable: bool, *, dates: bool = False) -> Column:
    """Return a column with the levels *values*, which may be datetimes if *dates* is True."""
    levels: tuple[Any, ...] = tuple(value for value in values if value is not None and value == value)
    nullable = nullable or len(levels) < len(values)
    if dates and levels and all(isinstance(level, np.datetime64) for level in levels):
        options = read_datetime_dtype(levels[0].dtype) or {}
        return Column(name, "datetime", tuple(map(to_json_value, levels)), nullable=nullable, **options)
    for level in levels:
        # A date sent as text would be an unknown level, which encoders may ignore silently.
        if not isinstance(level, _JSON_TYPES) or isinstance(level, np.timedelta64):
            raise ConfigurationError(
                f"column {name!r}: the model was trained with values of the type {type(level).__name__},"
                " which JSON cannot represent: train it with text or numbers instead"
            )
    if any(type(level) is int and abs(level) > EXACT for level in levels):
        return Column(name, "any", levels, nullable=nullable)  # float64, used for numbers, would round them
    for kind, types in _LEVEL_TYPES:
        if levels and all(type(level) in types for level in levels):
            return Column(name, kind, levels, nullable=nullable)
    return Column(name, "text", nullable=nullable)


# np.timedelta64 is a subclass of np.number, so `_with_levels` excludes it separately.
_JSON_TYPES = (str, int, float, np.number, np.bool_)

_LEVEL_TYPES: tuple[tuple[Kind, tuple[type, ...]], ...] = (
    ("text", (str,)),
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("number", (int, float)),
)

_KINDS_BY_STRICTNESS: tuple[Kind, ...] = ("any", "number", "integer", "boolean", "text", "datetime")


def _merge(one: Column, other: Column) -> Column:
    """Merge two `Column` objects that were inferred for the same column. The stricter rules apply.

    The two objects come from two steps of one model (see `ColumnPath`) or from two models.
    """

    def strictness(column: Column) -> tuple[bool, int]:
        return column.levels is not None, _KINDS_BY_STRICTNESS.index(column.kind)

    stricter, looser = (other, one) if strictness(other) > strictness(one) else (one, other)
    levels = stricter.levels
    if levels is not None and looser.levels is not None:
        levels = tuple(level for level in levels if level in looser.levels) or levels
    merged = replace(
        stricter,
        levels=levels,
        required=one.required or other.required,
        nullable=one.nullable and other.nullable,
        typical_value=None,
        observed_range=None,
    )
    typical = stricter.typical_value if stricter.typical_value is not None else looser.typical_value
    return _with_training_stats(merged, typical, stricter.observed_range or looser.observed_range)


def _with_training_stats(
    column: Column, typical: Level | None, observed: tuple[float, float] | None
) -> Column:
    """Return *column* with the statistics of the training data that apply.

    *typical* applies if the column allows this value, *observed* if the column is numeric.
    """
    if typical is not None and column.allows(typical):
        column = replace(column, typical_value=coerce_to_kind(column, typical))
    if observed and column.kind in ("number", "integer"):
        column = replace(column, observed_range=observed)
    return column


def _accepts_null(path: ColumnPath) -> bool:
    """Return whether every step of *path* accepts null, up to the first step that imputes nulls.

    The steps are checked one by one, because the tag ``allow_nan`` of scikit-learn does not suffice:

    * A pipeline lacks the tag even if the first step is an imputer.
    * A scaler has the tag, but passes NaN on to a step that may reject NaN.
    """
    for step, index in path.steps:
        if imputes(step, index):
            return True
        if type(step).__name__ == "MissingIndicator":
            return False
        transparent = only_checks_names(step) or is_passthrough(step) or takes_anything(step)
        if not transparent and not has_tag(step, "allow_nan") and not accepts_null(step):
            return False
    return True


def _is_imputed(steps: Sequence[tuple[Any, int | None]]) -> bool:
    return any(imputes(step, index) for step, index in steps)
