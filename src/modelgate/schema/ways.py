"""The ways of a model's input columns through it.

Every column is sent into pipelines, the branches of column transformers and the members of
ensembles, until an estimator ends its way. Nothing is imported for it, and no data go through it.
"""

from collections import UserList
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..errors import ConfigurationError
from .estimators import has_base, is_imputer, is_vectorizer, passes, tag

__all__ = [
    "Path",
    "has_placeholders",
    "has_renamed",
    "input_names",
    "last_names",
    "paths_through",
    "stored_names",
    "takes_texts",
    "wrapped",
]


class Path(NamedTuple):
    """The way of one column: the estimators it passes, with its place in each; None where that is unknown."""

    name: str
    steps: tuple[tuple[Any, int | None], ...] = ()


_Lane: TypeAlias = tuple[Path, ...]
"""One column between two estimators: what it was made of. Many inputs where they were mixed."""


def paths_through(model: Any) -> list[Path]:
    """The ways of all columns that *model* needs; one that several ways need has several."""
    ways = _Ways()
    for lane in ways.through(model, [(Path(name),) for name in input_names(model)]):
        ways.end(lane)
    return list(ways.ended.values())


def input_names(model: Any) -> list[str]:
    """The names of the columns *model* was fitted with.

    They are ``x0``, ``x1``, … where it was an array, and ``text`` where it was texts.

    Raises:
        ConfigurationError: it tells neither names nor number.
    """
    names = stored_names(model)
    if names is not None and not has_placeholders(model):
        return names
    if takes_texts(model):
        return ["text"]
    count = getattr(model, "n_features_in_", None) if names is None else len(names)
    if count is None:
        raise ConfigurationError(
            f"schema: {type(model).__name__} is not fitted, or does not tell its input columns:"
            " give schema=Schema.of(…)"
        )
    return [f"x{at}" for at in range(count)]


def stored_names(model: Any) -> list[str] | None:
    """Return the column names that *model* stores, or the first estimator in it that does; None if none does.

    scikit-learn has them in ``feature_names_in_``, CatBoost in ``feature_names_``, a ``lightgbm.Booster`` in
    ``feature_name()``, xgboost in ``feature_names``.
    """
    names = _own_names(model)
    inner = _first_inside(model) if names is None else None
    return names if inner is None else stored_names(inner)


def _own_names(model: Any) -> list[str] | None:
    names: Any = getattr(model, "feature_names_in_", None)
    if names is None and hasattr(model, "predict"):
        names = getattr(model, "feature_names_", None) or getattr(model, "feature_names", None)
        if not names and _is_of_lightgbm(model) and hasattr(model, "feature_name"):
            names = model.feature_name()
    # Any model may use these attributes for something else.
    listed = isinstance(names, list | tuple) or hasattr(names, "tolist")
    return [str(name) for name in names] or None if listed else None


def last_names(model: Any) -> list[str] | None:
    """Return the names that the last step of a pipeline stores, if its first one stores nothing of its input."""
    if hasattr(model, "n_features_in_"):
        return None
    if getattr(model, "steps", None):
        return stored_names(model.steps[-1][1])
    inner = wrapped(model)
    return None if inner is None else last_names(inner)


def has_renamed(model: Any) -> bool:
    """Return whether LightGBM stores the names of *model*: it stores ``a b`` as ``a_b`` and accepts both."""
    if _is_of_lightgbm(model):
        return True
    inner = _first_inside(model)
    return inner is not None and has_renamed(inner)


def has_placeholders(model: Any) -> bool:
    """Return whether the names that *model* stores are those that CatBoost or LightGBM gives an array's columns.

    scikit-learn makes up none: there, ``0``, ``1``, … are the names of a DataFrame.
    """
    names = _own_names(model)
    if names is None:
        inner = _first_inside(model)
        return inner is not None and has_placeholders(inner)
    prefixes = ("Column_",) if hasattr(model, "feature_names_in_") else ("Column_", "")
    return any(names == [f"{prefix}{at}" for at in range(len(names))] for prefix in prefixes)


def _is_of_lightgbm(model: Any) -> bool:
    return type(model).__module__.startswith("lightgbm")


def _first_inside(model: Any) -> Any:
    """Return the first estimator inside *model* that is given its input as it is, or None if it has none."""
    if getattr(model, "steps", None):
        parts = (part for _, part in model.steps if part not in (None, "passthrough"))
        return next((part for part in parts if not hasattr(part, "fit_resample")), None)
    members = getattr(model, "estimators_", None)
    return members[0] if isinstance(members, list) and members else wrapped(model)


def takes_texts(model: Any) -> bool:
    """Whether *model* is given a sequence of texts and no table: it begins with a vectorizer."""
    parts = getattr(model, "steps", None) or getattr(model, "transformer_list", None)
    inner = parts[0][1] if parts else wrapped(model)
    if inner is not None:
        return takes_texts(inner)
    # A DictVectorizer takes mappings.
    return is_vectorizer(model) and tag(model, "string")


class _Ways:
    """Sends columns through a model, and keeps the ways that ended, by identity."""

    def __init__(self) -> None:
        self.ended: dict[int, Path] = {}

    def end(self, lane: _Lane) -> None:
        """*lane* goes no further. What nothing has touched yet is not needed."""
        self.ended.update((id(path), path) for path in lane if path.steps)

    def through(self, step: Any, lanes: list[_Lane]) -> list[_Lane]:
        """What becomes of *lanes* in *step*."""
        if step is None or isinstance(step, str):
            return lanes
        lanes = _as_wide_as(step, lanes)
        if getattr(step, "steps", None):
            for _, part in step.steps:
                # A resampler of imbalanced-learn has its say in training alone.
                if not hasattr(part, "fit_resample"):
                    lanes = self.through(part, lanes)
            return lanes
        if hasattr(step, "transformers_"):
            return self._branches(step, lanes)
        if hasattr(step, "transformer_list"):
            branches = [branch for _, branch in step.transformer_list if branch != "drop"]
            return [lane for branch in branches for lane in self.through(branch, lanes)]
        inner = wrapped(step)
        if inner is not None:
            return self.through(inner, lanes)
        members = _members(step, len(lanes))
        return self._ensemble(step, members, lanes) if members else self._one(step, lanes)

    def _branches(self, transformer: Any, lanes: list[_Lane]) -> list[_Lane]:
        names = [str(name) for name in getattr(transformer, "feature_names_in_", ())]
        touched = _extended(transformer, lanes)
        out: list[_Lane] = []
        kept: set[int] = set()
        for name, branch, selected in transformer.transformers_:
            if isinstance(branch, str) and branch == "drop":
                continue
            places = _selected(selected, names, len(lanes))
            if not places:
                # Such a branch was never fitted.
                continue
            kept.update(places)
            got = self.through(branch, [touched[at] for at in places])
            extent = transformer.output_indices_.get(name)
            width = len(got) if extent is None else extent.stop - extent.start
            out += got if len(got) == width else [_pool(got)] * width
        for at in set(range(len(lanes))) - kept:
            self.end(lanes[at])
        return out

    def _ensemble(self, step: Any, members: list[tuple[Any, list[int]]], lanes: list[_Lane]) -> list[_Lane]:
        for member, places in members:
            for lane in self.through(member, [lanes[at] for at in places]):
                self.end(lane)
        final = getattr(step, "final_estimator_", None)
        if final is not None and getattr(step, "passthrough", False):
            predictions: list[_Lane] = [()] * (getattr(final, "n_features_in_", 0) - len(lanes))
            return self.through(final, [*predictions, *lanes])
        return []

    def _one(self, step: Any, lanes: list[_Lane]) -> list[_Lane]:
        """Through a single estimator: column by column, a selection of them, or all mixed."""
        passed = _extended(step, lanes)
        if has_base(step, "SelectorMixin"):
            support = step.get_support()
            for lane, chosen in zip(passed, support, strict=True):
                if not chosen:
                    self.end(lane)
            return [lane for lane, chosen in zip(passed, support, strict=True) if chosen]
        if passes(step) or is_imputer(step) or has_base(step, "OneToOneFeatureMixin"):
            indicator = getattr(step, "indicator_", None)
            return passed + ([] if indicator is None else [passed[at] for at in indicator.features_])
        return [_pool(passed)]


def _as_wide_as(step: Any, lanes: list[_Lane]) -> list[_Lane]:
    """*lanes* as *step* counts its columns; where it counts otherwise, each may be made of all."""
    # CatBoost counts none after it was loaded from a file.
    width = getattr(step, "n_features_in_", None) or len(lanes)
    return lanes if width == len(lanes) else [_pool(lanes)] * int(width)


def _pool(lanes: Iterable[_Lane]) -> _Lane:
    return tuple({id(path): path for lane in lanes for path in lane}.values())


def _extended(step: Any, lanes: list[_Lane]) -> list[_Lane]:
    """*lanes* with *step* on their ways; one that comes twice is extended once."""
    done: dict[int, _Lane] = {}
    for at, lane in enumerate(lanes):
        if id(lane) not in done:
            place = at if len(lane) == 1 else None
            done[id(lane)] = tuple(Path(path.name, (*path.steps, (step, place))) for path in lane)
    return [done[id(lane)] for lane in lanes]


def wrapped(step: Any) -> Any:
    """The one fitted estimator that *step* hands its input to as it is; None if it is no such wrapper."""
    if hasattr(step, "best_estimator_"):
        return step.best_estimator_
    if hasattr(step, "regressor_"):
        return step.regressor_
    if getattr(step, "calibrated_classifiers_", None):
        return step.calibrated_classifiers_[0].estimator
    if type(step).__name__ == "FrozenEstimator":
        return step.estimator
    # A forest's estimator_ is a pattern for its trees, a selector's judges the columns.
    if hasattr(step, "transform") or hasattr(step, "estimators_"):
        return None
    return getattr(step, "estimator_", None)


def _members(step: Any, width: int) -> list[tuple[Any, list[int]]]:
    """The estimators that *step* hands its input to, each with the places of its columns.

    Of ensembles of like estimators only those of pipelines are opened: a forest's trees tell nothing.
    An estimator for each class or output is given the same as all others.
    """
    members = getattr(step, "estimators_", None)
    if not isinstance(members, list) or not members or type(step).__name__.endswith("Chain"):
        return []
    if type(step).__name__.startswith(("OneVsRest", "MultiOutput")):
        members = members[:1]
    elif not hasattr(step, "named_estimators_") and not _is_composite(members[0]):
        return []
    chosen = getattr(step, "estimators_features_", None)
    places = [list(range(width))] * len(members) if chosen is None else [list(map(int, c)) for c in chosen]
    return list(zip(members, places, strict=True))


def _is_composite(step: Any) -> bool:
    opened = any(hasattr(step, told) for told in ("steps", "transformers_", "named_estimators_"))
    return opened or wrapped(step) is not None


def _selected(selected: Any, names: Sequence[str], width: int) -> list[int]:
    """The places that a ColumnTransformer's selection means, in whichever way it is written."""
    if isinstance(selected, UserList):
        # The columns of the remainder in scikit-learn 1.6, which warns where they are read in another way.
        selected = selected.data
    if isinstance(selected, str):
        return [names.index(selected)]
    if isinstance(selected, slice):
        if not isinstance(selected.start or selected.stop, str):
            return list(range(width)[selected])
        # By name, as pandas slices: the last one belongs to it.
        start = 0 if selected.start is None else names.index(selected.start)
        stop = width if selected.stop is None else names.index(selected.stop) + 1
        return list(range(start, stop, selected.step or 1))
    chosen = [selected] if not hasattr(selected, "__len__") else list(selected)
    if chosen and all(type(item).__name__ in ("bool", "bool_") for item in chosen):
        return [at for at, taken in enumerate(chosen) if taken]
    return [names.index(item) if isinstance(item, str) else range(width)[int(item)] for item in chosen]
