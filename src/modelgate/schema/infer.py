"""What a fitted scikit-learn estimator tells of the columns it needs, and of its outputs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ConfigurationError
from .coerce import as_kind
from .columns import Column, Kind, Level
from .estimators import figures, fills, kind_told, knows_none, passes, tag, takes_anything
from .ways import Path, input_names, paths_through, wrapped

__all__ = ["columns_of", "none_columns", "outputs_of"]


def columns_of(model: Any) -> list[Column]:
    """The columns *model* needs, in the order of its training table.

    ``feature_names_in_`` alone would ask for too much: what a ColumnTransformer drops is in it.

    Raises:
        ConfigurationError: the model tells neither names nor number of its inputs, or encodes a column
            of dates, or of other values that no request can hold.
    """
    found: dict[str, Column] = {}
    for path in paths_through(model):
        column = _column(path)
        found[path.name] = column if path.name not in found else _both(found[path.name], column)
    names = input_names(model)
    if not hasattr(model, "feature_names_in_"):
        # An array has all its places, also those that are dropped.
        kind: Kind = "number" if all(column.numeric for column in found.values()) else "any"
        return [found.get(name) or Column(name, kind, required=False, nullable=True) for name in names]
    return [found[name] for name in names if name in found]


def none_columns(model: Any) -> frozenset[str]:
    """The columns in which *model* knows a null as None; in all others it knows NaN."""
    return frozenset(
        path.name
        for path in paths_through(model)
        if any(knows_none(step, at) for step, at in _decisive(path))
    )


def outputs_of(model: Any) -> tuple[tuple[Level, ...] | None, ...]:
    """For each output of *model* its classes, in the order of ``classes_``; None for a number."""
    core = _core(model)
    classes = getattr(model, "classes_", None)
    if classes is None:
        return (None,) * _numbers(core)
    if isinstance(classes, list):
        return tuple(tuple(labels.tolist()) for labels in classes)
    binarizer = getattr(core, "_label_binarizer", None) or getattr(core, "label_binarizer_", None)
    if str(getattr(binarizer, "y_type_", "")).startswith("multilabel"):
        # Its classes are then the labels' places: each label is an output of its own, there or not.
        return ((0, 1),) * len(classes)
    return (tuple(classes.tolist()),)


def _core(model: Any) -> Any:
    """What predicts in the end: the last step of a pipeline, the best of a search."""
    inner = model.steps[-1][1] if getattr(model, "steps", None) else wrapped(model)
    return model if inner is None else _core(inner)


def _numbers(core: Any) -> int:
    """How many numbers *core* predicts for a row."""
    count = getattr(core, "n_outputs_", None)
    if count is not None:
        return int(count)
    if type(core).__name__ in ("MultiOutputRegressor", "RegressorChain"):
        return len(core.estimators_)
    # Linear models keep (outputs, columns), neighbours the targets themselves.
    shape, at = getattr(getattr(core, "coef_", None), "shape", ()), 0
    if hasattr(core, "n_samples_fit_"):
        shape, at = getattr(getattr(core, "_y", None), "shape", ()), 1
    return int(shape[at]) if len(shape) == 2 else 1


def _column(path: Path) -> Column:
    steps = _decisive(path)
    if not steps:
        # A frame must have it, and nothing looks at it: an inner ColumnTransformer drops it.
        return Column(path.name, "any", required=False, nullable=True)
    told = kind_told(*steps[-1])
    if told == "any" and any(getattr(step, "strategy", "") in ("mean", "median") for step, _ in steps[:-1]):
        told = "number"
    typical, seen = figures(steps)
    if isinstance(told, list):
        encodes = hasattr(steps[-1][0], "categories_")
        nullable = _is_filled(steps[:-1]) if encodes else _survives_null(path)
        return _fitting(_with_levels(path.name, told, nullable), typical, seen)
    if told is None or told == "any":
        # What is unknown may be null too; of an indicator it is known.
        indicated = type(steps[-1][0]).__name__ == "MissingIndicator"
        return Column(path.name, "any", nullable=not indicated or _survives_null(path))
    return _fitting(Column(path.name, told, nullable=_survives_null(path)), typical, seen)


def _decisive(path: Path) -> list[tuple[Any, int | None]]:
    """The estimators of a way up to the one that settles what its column is."""
    steps: list[tuple[Any, int | None]] = []
    for step, at in path.steps:
        if not hasattr(step, "transformers_"):
            steps.append((step, at))
            if kind_told(step, at) is not None:
                break
    return steps


def _with_levels(name: str, values: list[Any], nullable: bool) -> Column:
    levels: tuple[Level, ...] = tuple(value for value in values if value is not None and value == value)
    for level in levels:
        # Its text would be an unknown level, which encoders may swallow in silence.
        if not isinstance(level, _SAYABLE) or isinstance(level, np.timedelta64):
            raise ConfigurationError(
                f"column {name!r}: the model was trained with values of the type {type(level).__name__} in it,"
                " which JSON cannot say: train it with their texts or with numbers"
            )
    nullable = nullable or len(levels) < len(values)
    for kind, types in _LEVEL_TYPES:
        if levels and all(type(level) in types for level in levels):
            return Column(name, kind, levels, nullable=nullable)
    return Column(name, "text", nullable=nullable)


# To numpy a duration is a whole number.
_SAYABLE = (str, int, float, np.number, np.bool_)

_LEVEL_TYPES: tuple[tuple[Kind, tuple[type, ...]], ...] = (
    ("text", (str,)),
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("number", (int, float)),
)

_STRICTER: tuple[Kind, ...] = ("any", "number", "integer", "boolean", "text")


def _both(one: Column, other: Column) -> Column:
    """A column of two ways keeps the stricter rules of the two."""
    chosen, looser = one, other
    if (other.levels is not None, _STRICTER.index(other.kind)) > (
        one.levels is not None,
        _STRICTER.index(one.kind),
    ):
        chosen, looser = other, one
    levels = chosen.levels
    if levels is not None and looser.levels is not None:
        levels = tuple(level for level in levels if level in looser.levels) or levels
    both = replace(
        chosen,
        levels=levels,
        required=one.required or other.required,
        nullable=one.nullable and other.nullable,
        typical=None,
        seen=None,
    )
    typical = chosen.typical if chosen.typical is not None else looser.typical
    return _fitting(both, typical, chosen.seen or looser.seen)


def _fitting(column: Column, typical: Level | None, seen: tuple[float, float] | None) -> Column:
    """*column* with what it was in training, as far as that can stand as an example of it."""
    if typical is not None and column.allows(typical):
        column = replace(column, typical=as_kind(column, typical))
    return replace(column, seen=seen) if column.kind in ("number", "integer") and seen else column


def _survives_null(path: Path) -> bool:
    """Whether a null can go all the way: a step fills it in, or all of them take it.

    A pipeline's own ``allow_nan`` tag says False even where an imputer comes first, and a scaler's
    says True though it only hands the NaN on.
    """
    for step, at in path.steps:
        if fills(step, at):
            return True
        if type(step).__name__ == "MissingIndicator":
            return False
        open_to_all = hasattr(step, "transformers_") or passes(step) or takes_anything(step)
        if not open_to_all and not tag(step, "allow_nan"):
            return False
    return True


def _is_filled(steps: Sequence[tuple[Any, int | None]]) -> bool:
    return any(fills(step, at) for step, at in steps)
