"""Trace each input column through a fitted model.

Columns are followed into pipelines, branches of column transformers and members of ensembles, up to a
final estimator. No library is imported, and no estimator is run.
"""

from collections import UserList
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ...errors import ConfigurationError
from .estimator_info import (
    has_tag,
    is_imputer,
    is_passthrough,
    is_sklearn_subclass,
    is_vectorizer,
    only_checks_names,
)
from .libraries import library_names, library_of

__all__ = [
    "ColumnPath",
    "first_inside",
    "has_placeholders",
    "input_names",
    "last_step_names",
    "paths_through",
    "renames_columns",
    "stored_names",
    "stores_columns",
    "takes_texts",
    "unwrap_estimator",
]


class ColumnPath(NamedTuple):
    """Path of one input column through a model.

    Attributes:
        name: Column name.
        steps: Estimators that process the column, each with the column's index in its input, or None
            if the index is unknown.
    """

    name: str
    steps: tuple[tuple[Any, int | None], ...] = ()


_Provenance: TypeAlias = tuple[ColumnPath, ...]
"""Origin of an intermediate column: the paths of all input columns that it may be computed from."""


def paths_through(model: Any) -> list[ColumnPath]:
    """Return the paths of all input columns that *model* needs. A column may have several paths."""
    tracer = _ColumnTracer()
    for column in tracer.trace(model, [(ColumnPath(name),) for name in input_names(model)]):
        tracer.finish(column)
    return list(tracer.finished.values())


def input_names(model: Any) -> list[str]:
    """Return the names of the columns that *model* was fitted on.

    For a model fitted on an array, they are ``x0``, ``x1``, …; for a model fitted on texts, ``text``.

    Raises:
        ConfigurationError: The model stores neither the names nor the number of its input columns.
    """
    names = _find_input_names(model)
    if names is None:
        raise ConfigurationError(
            f"schema: {type(model).__name__} is not fitted, or does not store its input columns: fit the model,"
            " or set schema=Schema.of(…), or schema=Schema.from_model(model, X) with its training rows"
        )
    return names


def stores_columns(model: Any) -> bool:
    """Return whether *model* stores the names or the number of its input columns, or takes texts."""
    return _find_input_names(model) is not None


def _find_input_names(model: Any) -> list[str] | None:
    names = stored_names(model)
    if names is not None and not has_placeholders(model):
        return names
    if takes_texts(model):
        return ["text"]
    count = getattr(model, "n_features_in_", None) if names is None else len(names)
    if count is None and hasattr(model, "num_features"):  # xgboost.Booster
        count = model.num_features()
    return None if count is None else [f"x{index}" for index in range(count)]


def stored_names(model: Any) -> list[str] | None:
    """Return the column names stored in *model* or an estimator inside it, or None.

    scikit-learn stores them in ``feature_names_in_``. For other libraries, see `library_names`.
    """
    names = _own_names(model)
    inner = first_inside(model) if names is None else None
    return names if inner is None else stored_names(inner)


def _own_names(model: Any) -> list[str] | None:
    names: Any = getattr(model, "feature_names_in_", None)
    if names is None and hasattr(model, "predict"):
        names = library_names(model)
    # Other models may use these attributes for something else.
    is_list = isinstance(names, list | tuple) or hasattr(names, "tolist")
    return [str(name) for name in names] or None if is_list else None


def last_step_names(model: Any) -> list[str] | None:
    """Return the column names stored in the last step of a pipeline that has no ``n_features_in_``.

    Returns None if *model* has this attribute, or if the last step stores no names.
    """
    if hasattr(model, "n_features_in_"):
        return None
    if getattr(model, "steps", None):
        return stored_names(model.steps[-1][1])
    inner = unwrap_estimator(model)
    return None if inner is None else last_step_names(inner)


def renames_columns(model: Any) -> bool:
    """Return whether the first estimator in *model* is LightGBM, which stores ``a b`` as ``a_b``."""
    if library_of(model) == "lightgbm":
        return True
    inner = first_inside(model)
    return inner is not None and renames_columns(inner)


def has_placeholders(model: Any) -> bool:
    """Return whether the stored names are placeholders that a library created for an array.

    scikit-learn creates no placeholders. Names such as ``0`` in a scikit-learn model come from a DataFrame.
    """
    names = _own_names(model)
    if names is None:
        inner = first_inside(model)
        return inner is not None and has_placeholders(inner)
    if library_of(model) == "statsmodels":
        return type(model.model.data).__name__ != "PandasData"
    prefixes = ("Column_",) if hasattr(model, "feature_names_in_") else ("Column_", "")
    return any(names == [f"{prefix}{index}" for index in range(len(names))] for prefix in prefixes)


def first_inside(model: Any) -> Any:
    """Return the first estimator inside *model* that receives the unchanged input of *model*, or None."""
    if getattr(model, "steps", None):
        steps = (step for _, step in model.steps if step not in (None, "passthrough"))
        return next((step for step in steps if not hasattr(step, "fit_resample")), None)
    members = _fitted_members(model)
    return members[0] if members else unwrap_estimator(model)


def takes_texts(model: Any) -> bool:
    """Return whether *model* expects a sequence of texts, because its first step is a text vectorizer."""
    steps = getattr(model, "steps", None) or getattr(model, "transformer_list", None)
    inner = steps[0][1] if steps else unwrap_estimator(model)
    if inner is not None:
        return takes_texts(inner)
    # The tag excludes DictVectorizer, whose input is mappings.
    return is_vectorizer(model) and has_tag(model, "string")


class _ColumnTracer:
    """Tracer of columns through a model.

    Attributes:
        finished: Paths of columns that no further step uses, by the `id` of the path, so that no path is
            collected twice.
    """

    def __init__(self) -> None:
        self.finished: dict[int, ColumnPath] = {}

    def finish(self, column: _Provenance) -> None:
        """Add the paths of *column* to `finished`, because no further step uses the column.

        Paths without steps are left out.
        """
        self.finished.update((id(path), path) for path in column if path.steps)

    def trace(self, step: Any, columns: list[_Provenance]) -> list[_Provenance]:
        """Return the output columns of *step* for the input *columns*."""
        if step is None or isinstance(step, str):
            return columns
        columns = _match_width(step, columns)
        if getattr(step, "steps", None):
            for _, inner_step in step.steps:
                # Resamplers of imbalanced-learn do nothing at prediction time.
                if not hasattr(inner_step, "fit_resample"):
                    columns = self.trace(inner_step, columns)
            return columns
        if hasattr(step, "transformers_"):
            return self._trace_branches(step, columns)
        if hasattr(step, "transformer_list"):
            branches = [branch for _, branch in step.transformer_list if branch != "drop"]
            return [column for branch in branches for column in self.trace(branch, columns)]
        inner = unwrap_estimator(step)
        if inner is not None:
            return self.trace(inner, columns)
        members = _ensemble_members(step, len(columns))
        return self._trace_ensemble(step, members, columns) if members else self._trace_single(step, columns)

    def _trace_branches(self, transformer: Any, columns: list[_Provenance]) -> list[_Provenance]:
        names = [str(name) for name in getattr(transformer, "feature_names_in_", ())]
        extended = _extend_paths(transformer, columns)
        outputs: list[_Provenance] = []
        used: set[int] = set()
        for name, branch, selection in transformer.transformers_:
            if isinstance(branch, str) and branch == "drop":
                continue
            indices = _selected_indices(selection, names, len(columns))
            if not indices:
                # scikit-learn does not fit such a branch.
                continue
            used.update(indices)
            results = self.trace(branch, [extended[index] for index in indices])
            extent = transformer.output_indices_.get(name)
            width = len(results) if extent is None else extent.stop - extent.start
            outputs += results if len(results) == width else [_merge(results)] * width
        for index in set(range(len(columns))) - used:
            self.finish(columns[index])
        return outputs

    def _trace_ensemble(
        self, step: Any, members: list[tuple[Any, list[int]]], columns: list[_Provenance]
    ) -> list[_Provenance]:
        columns = _extend_paths(step, columns) if only_checks_names(step) else columns
        for member, indices in members:
            for column in self.trace(member, [columns[index] for index in indices]):
                self.finish(column)
        final = getattr(step, "final_estimator_", None)
        if final is not None and getattr(step, "passthrough", False):
            predictions: list[_Provenance] = [()] * (getattr(final, "n_features_in_", 0) - len(columns))
            return self.trace(final, [*predictions, *columns])
        return []

    def _trace_single(self, step: Any, columns: list[_Provenance]) -> list[_Provenance]:
        """Trace *columns* through an estimator that transforms each column, selects columns, or combines all."""
        extended = _extend_paths(step, columns)
        if is_sklearn_subclass(step, "SelectorMixin"):
            support = step.get_support()
            for column, selected in zip(extended, support, strict=True):
                if not selected:
                    self.finish(column)
            return [column for column, selected in zip(extended, support, strict=True) if selected]
        if is_passthrough(step) or is_imputer(step) or is_sklearn_subclass(step, "OneToOneFeatureMixin"):
            indicator = getattr(step, "indicator_", None)
            return extended + ([] if indicator is None else [extended[i] for i in indicator.features_])
        return [_merge(extended)]


def _match_width(step: Any, columns: list[_Provenance]) -> list[_Provenance]:
    """Return *columns*, adapted to the number of inputs of *step*.

    If *step* has more or fewer inputs than there are *columns*, it is unknown which column is which input. In
    this case, every returned column is the merge of all *columns*.
    """
    # CatBoost reports 0 after loading from a file.
    width = getattr(step, "n_features_in_", None) or len(columns)
    return columns if width == len(columns) else [_merge(columns)] * int(width)


def _merge(columns: Iterable[_Provenance]) -> _Provenance:
    return tuple({id(path): path for column in columns for path in column}.values())


def _extend_paths(step: Any, columns: list[_Provenance]) -> list[_Provenance]:
    """Append *step* to the paths of all columns. A column that occurs twice is extended once."""
    extended: dict[int, _Provenance] = {}
    for position, column in enumerate(columns):
        if id(column) not in extended:
            index = position if len(column) == 1 else None
            extended[id(column)] = tuple(
                ColumnPath(path.name, (*path.steps, (step, index))) for path in column
            )
    return [extended[id(column)] for column in columns]


def unwrap_estimator(step: Any) -> Any:
    """Return the fitted estimator inside the wrapper *step* that receives the unchanged input of *step*.

    Returns None if *step* is not a wrapper.
    """
    if hasattr(step, "best_estimator_"):
        return step.best_estimator_
    if hasattr(step, "regressor_"):
        return step.regressor_
    if getattr(step, "calibrated_classifiers_", None):
        return step.calibrated_classifiers_[0].estimator
    if type(step).__name__ == "FrozenEstimator":
        return step.estimator
    # In a forest, estimator_ is an unfitted template. In a feature selector, it only ranks the columns.
    if hasattr(step, "transform") or hasattr(step, "estimators_"):
        return None
    return getattr(step, "estimator_", None)


def _ensemble_members(step: Any, width: int) -> list[tuple[Any, list[int]]]:
    """Return the members of the ensemble *step*, each with the indices of its input columns.

    The list is empty for an ensemble of simple estimators of the same type, such as a forest, because these
    add no information. If there is one estimator per class or output, only the first is returned.
    """
    members = _fitted_members(step)
    if not members or type(step).__name__.endswith("Chain"):
        return []
    if type(step).__name__.startswith(("OneVsRest", "MultiOutput")):
        members = members[:1]
    elif not hasattr(step, "named_estimators_") and not _is_composite(members[0]):
        return []
    features = getattr(step, "estimators_features_", None)
    if features is None:
        return [(member, list(range(width))) for member in members]
    return [(member, list(map(int, indices))) for member, indices in zip(members, features, strict=True)]


def _fitted_members(step: Any) -> list[Any]:
    """Return the members of an ensemble, except the constants that replace estimators for constant labels."""
    members = getattr(step, "estimators_", None)
    if not isinstance(members, list):
        return []
    return [member for member in members if type(member).__name__ != "_ConstantPredictor"]


def _is_composite(step: Any) -> bool:
    contains_steps = any(hasattr(step, name) for name in ("steps", "transformers_", "named_estimators_"))
    return contains_steps or unwrap_estimator(step) is not None


def _selected_indices(selection: Any, names: Sequence[str], width: int) -> list[int]:
    """Return the column indices of a ColumnTransformer's selection.

    Args:
        selection: Name, index, slice, mask, or a list of names or indices.
        names: Input names of the ColumnTransformer.
        width: Number of input columns of the ColumnTransformer.
    """
    if isinstance(selection, UserList):
        # The remainder in scikit-learn 1.6. Reading its items directly causes a warning.
        selection = selection.data
    if isinstance(selection, str):
        return [names.index(selection)]
    if isinstance(selection, slice):
        if not isinstance(selection.start or selection.stop, str):
            return list(range(width)[selection])
        # A slice of names includes its end, as in pandas.
        start = 0 if selection.start is None else names.index(selection.start)
        stop = width if selection.stop is None else names.index(selection.stop) + 1
        return list(range(start, stop, selection.step or 1))
    items = [selection] if not hasattr(selection, "__len__") else list(selection)
    if items and all(type(item).__name__ in ("bool", "bool_") for item in items):
        return [index for index, selected in enumerate(items) if selected]
    return [names.index(item) if isinstance(item, str) else range(width)[int(item)] for item in items]
