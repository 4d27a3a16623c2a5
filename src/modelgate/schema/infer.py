"""What a fitted scikit-learn estimator tells of the columns it needs."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import ConfigurationError
from .columns import Column, Kind, Level

__all__ = ["columns_of", "none_columns"]


def columns_of(model: Any) -> list[Column]:
    """The columns *model* needs, in the order of its training table.

    ``feature_names_in_`` alone would ask for too much: what a ColumnTransformer drops is in it.

    Raises:
        ConfigurationError: the model tells neither names nor number of its inputs.
    """
    found: dict[str, Column] = {}
    for name, at, steps in _paths(model):
        column = _column(name, at, steps)
        found[name] = column if name not in found else _both(found[name], column)
    return [found[name] for name in _input_names(model) if name in found]


def none_columns(model: Any) -> frozenset[str]:
    """The columns in which *model* knows a null as None; in all others it knows NaN."""
    return frozenset(
        name for name, at, steps in _paths(model) if any(_knows_none(step, at) for step in steps)
    )


def _knows_none(step: Any, at: int) -> bool:
    if hasattr(step, "statistics_"):
        return step.missing_values is None
    categories = getattr(step, "categories_", None)
    return categories is not None and None in categories[at].tolist()


def _paths(model: Any) -> Iterator[tuple[str, int, list[Any]]]:
    """For each column its name, its place among those that go its way, and the estimators it passes."""
    names = _input_names(model)
    first, *rest = _chain(model)
    if hasattr(first, "transformers_"):
        for branch, selected in _branches(first, names):
            steps = _chain(branch) + rest
            yield from ((name, at, steps) for at, name in enumerate(selected))
    else:
        yield from ((name, at, [first, *rest]) for at, name in enumerate(names))


def _input_names(model: Any) -> list[str]:
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return [str(name) for name in names]
    count = getattr(model, "n_features_in_", None)
    if count is None:
        raise ConfigurationError(
            f"schema: {type(model).__name__} does not tell its input columns: give schema=Schema.of(…)"
        )
    return [f"x{at}" for at in range(count)]


def _chain(model: Any) -> list[Any]:
    """The estimators an input passes, in order: pipelines opened, searches and wrappers looked into."""
    if getattr(model, "steps", None):
        return [part for _, step in model.steps for part in _chain(step)]
    for fitted in ("best_estimator_", "estimator_", "regressor_"):
        if hasattr(model, fitted):
            return _chain(getattr(model, fitted))
    return [model]


def _branches(transformer: Any, names: Sequence[str]) -> Iterator[tuple[Any, list[str]]]:
    for _, branch, selected in transformer.transformers_:
        if not (isinstance(branch, str) and branch == "drop"):
            yield branch, _selected(selected, names)


def _selected(selected: Any, names: Sequence[str]) -> list[str]:
    """The names that a ColumnTransformer's selection means, in whichever way it is written."""
    if isinstance(selected, str | int):
        return [selected if isinstance(selected, str) else names[selected]]
    if isinstance(selected, slice):
        if not isinstance(selected.start or selected.stop, str):
            return list(names[selected])
        # By name, as pandas slices: the last one belongs to it.
        start = 0 if selected.start is None else names.index(selected.start)
        stop = len(names) if selected.stop is None else names.index(selected.stop) + 1
        return list(names[start : stop : selected.step])
    chosen = list(selected)
    if chosen and all(type(item).__name__ in ("bool", "bool_") for item in chosen):
        return [name for name, taken in zip(names, chosen, strict=True) if taken]
    return [item if isinstance(item, str) else names[item] for item in chosen]


def _column(name: str, at: int, steps: list[Any]) -> Column:
    for done, step in enumerate(steps):
        categories = getattr(step, "categories_", None)
        if categories is not None:
            imputed = done > 0 and _survives_null(steps[:done])
            return _with_levels(name, categories[at].tolist(), imputed)
        if hasattr(step, "vocabulary_"):
            return Column(name, "text")
        if not type(step).__name__.endswith("Imputer"):
            break
    return Column(name, nullable=_survives_null(steps))


def _with_levels(name: str, values: list[Any], nullable: bool) -> Column:
    levels: tuple[Level, ...] = tuple(value for value in values if value is not None and value == value)
    nullable = nullable or len(levels) < len(values)
    for kind, types in _LEVEL_TYPES:
        if levels and all(type(level) in types for level in levels):
            return Column(name, kind, levels, nullable=nullable)
    return Column(name, "text", nullable=nullable)


_LEVEL_TYPES: tuple[tuple[Kind, tuple[type, ...]], ...] = (
    ("text", (str,)),
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("number", (int, float)),
)


def _both(one: Column, other: Column) -> Column:
    """A column two branches use keeps the stricter rules of the two."""
    chosen = one if one.levels is not None or one.kind == "text" else other
    return Column(chosen.name, chosen.kind, chosen.levels, nullable=one.nullable and other.nullable)


def _survives_null(steps: list[Any]) -> bool:
    """Whether a null can pass *steps*: one of them fills it in, or all of them take it.

    A pipeline's own ``allow_nan`` tag says False even where an imputer comes first, and a scaler's
    says True though it only hands the NaN on.
    """
    for step in steps:
        if type(step).__name__.endswith("Imputer"):
            return True
        tags = getattr(step, "__sklearn_tags__", None)
        if tags is None or not tags().input_tags.allow_nan:
            return False
    return True
