"""Describe an input column of a fitted estimator: kind of values, handling of nulls, and statistics.

Estimators are recognized by attributes and class names, so that no library is imported. A *step* is an
estimator that may be part of a pipeline.
"""

import math
from collections.abc import Sequence
from typing import Any

from ..columns import Kind, Level

__all__ = [
    "column_kind",
    "encodes_none",
    "encodes_objects",
    "has_tag",
    "imputes",
    "is_imputer",
    "is_passthrough",
    "is_sklearn_subclass",
    "is_vectorizer",
    "only_checks_names",
    "takes_anything",
    "training_stats",
]

_LIBRARIES_OF_NUMBERS = {"sklearn", "xgboost", "lightgbm", "catboost"}
"""Libraries whose estimators take only numbers unless scikit-learn's tags declare otherwise.

Estimators of other libraries may take texts without setting the tags."""


def column_kind(step: Any, index: int | None) -> Kind | list[Any] | None:
    """Return the kind or the list of levels of an input column of *step*.

    Returns None if *step* accepts any kind and passes the column on, so that the next step decides.

    Args:
        step: Fitted estimator.
        index: Index of the column in the input of *step*; None if it is unknown.
    """
    if hasattr(step, "input_kinds_"):
        kinds: list[Kind] = step.input_kinds_
        return kinds[index] if index is not None else "any"
    if is_passthrough(step) or (is_imputer(step) and type(step).__name__ == "SimpleImputer"):
        return None
    if is_vectorizer(step):
        return "text"
    if hasattr(step, "get_cat_feature_indices"):
        # CatBoost's tags declare every column categorical. It converts text features to categories, too.
        categorical = [*step.get_cat_feature_indices(), *step.get_text_feature_indices()]
        return "any" if index is None or index in categorical else "number"
    if not type(step).__module__.startswith("sklearn."):
        is_unknown = hasattr(step, "transform") or not _predicts_numbers(step)
        return "any" if is_unknown or has_tag(step, "categorical", "string") else "number"
    if getattr(step, "func", None) is not None or takes_anything(step):
        return "any"
    categories = getattr(step, "categories_", None)
    if categories is not None and index is not None:
        return _to_list(categories[index])
    return _hist_boosting_kind(step, index) if hasattr(step, "is_categorical_") else "number"


def _predicts_numbers(step: Any) -> bool:
    """Return whether the method ``predict`` of *step* comes from a library whose models take numbers."""
    predict = getattr(type(step), "predict", None)
    return getattr(predict, "__module__", "").partition(".")[0] in _LIBRARIES_OF_NUMBERS


def _hist_boosting_kind(step: Any, index: int | None) -> Kind | list[Any]:
    """Return the kind or levels of a column, read from a private attribute of HistGradientBoosting."""
    categorical = step.is_categorical_
    if categorical is None or (index is not None and not categorical[index]):
        return "number"
    branches = getattr(getattr(step, "_preprocessor", None), "named_transformers_", {})
    categories = getattr(branches.get("encoder"), "categories_", None)
    if index is None or categories is None:
        return "any"
    return _to_list(categories[int(categorical[:index].sum())])


def _to_list(categories: Any) -> list[Any]:
    # tolist() may turn dates into integers.
    return list(categories if categories.dtype.kind in "mM" else categories.tolist())


def imputes(step: Any, index: int | None) -> bool:
    """Return whether *step* replaces nulls in its input column *index*."""
    if type(step).__name__ == "MissingIndicator":
        # By default, a MissingIndicator rejects nulls in columns that had none in training.
        allowed = step.features == "all" or not step.error_on_new or index in step.features_
        return allowed and has_tag(step, "allow_nan")
    if not is_imputer(step):
        return False
    marker = getattr(step, "missing_values", math.nan)
    return marker is None or has_tag(step, "allow_nan") or marker != marker


def encodes_none(step: Any, index: int | None) -> bool:
    """Return whether nulls in the input column *index* were None, not NaN, when *step* was trained."""
    if is_imputer(step):
        return getattr(step, "missing_values", math.nan) is None
    categories = getattr(step, "categories_", None)
    return categories is not None and index is not None and None in categories[index].tolist()


def encodes_objects(step: Any, index: int | None) -> bool:
    """Return whether *step* is an encoder whose input column *index* had the dtype object in training."""
    categories = getattr(step, "categories_", None)
    return categories is not None and index is not None and bool(categories[index].dtype == object)


def is_vectorizer(step: Any) -> bool:
    """Return whether *step* is a vectorizer, such as TfidfVectorizer, HashingVectorizer or DictVectorizer."""
    return hasattr(step, "vocabulary_") or type(step).__name__ == "HashingVectorizer"


def is_imputer(step: Any) -> bool:
    """Return whether *step* is an imputer according to its class name."""
    return type(step).__name__.endswith("Imputer")


def is_passthrough(step: Any) -> bool:
    """Return whether *step* is a FunctionTransformer without a function, which returns its input unchanged.

    In a fitted ColumnTransformer, such a step replaces each ``"passthrough"``.
    """
    return type(step).__name__ == "FunctionTransformer" and step.func is None and not step.validate


def only_checks_names(step: Any) -> bool:
    """Return whether *step* passes its input on, after checking it for missing columns.

    Such a step requires all columns of its input, even those that no further step uses.
    """
    return hasattr(step, "transformers_") or type(step).__name__ == "OutputCodeClassifier"


def takes_anything(step: Any) -> bool:
    """Return whether *step* accepts values of any kind, like a DummyClassifier or a MissingIndicator."""
    if type(step).__name__ == "MissingIndicator":
        return True
    return not hasattr(step, "func") and has_tag(step, "no_validation")


def has_tag(step: Any, *names: str) -> bool:
    """Return whether at least one of scikit-learn's tags in *names* is True for *step*.

    Args:
        step: Estimator.
        names: Names of tags: ``"no_validation"``, or input tags such as ``"allow_nan"``.
    """
    try:
        tags = step.__sklearn_tags__()
    except AttributeError:
        # scikit-learn before 1.6 has another method. Estimators of other libraries may have both.
        old_tags: dict[str, Any] = getattr(step, "_get_tags", dict)()
        return any(name in old_tags.get("X_types", ()) or old_tags.get(name) is True for name in names)
    return any(getattr(tags.input_tags, name, False) or getattr(tags, name, False) for name in names)


def is_sklearn_subclass(step: Any, name: str) -> bool:
    """Return whether *step* is an estimator of scikit-learn that inherits from a class called *name*."""
    is_sklearn = type(step).__module__.startswith("sklearn.")
    return is_sklearn and any(base.__name__ == name for base in type(step).__mro__)


def training_stats(
    steps: Sequence[tuple[Any, int | None]],
) -> tuple[Level | None, tuple[float, float] | None]:
    """Return the typical value and the observed range of a column in training. Either is None if unknown.

    An imputer stores a typical value. The first step that is not an imputer, for example a scaler, may store
    both. Later steps are not read, because they store statistics of transformed values.

    Args:
        steps: Estimators that process the column, in order, each with the column's index in its input.
    """
    typical: Level | None = None
    for step, index in steps:
        if index is None:
            break
        if hasattr(step, "statistics_"):
            if typical is None and step.strategy != "constant":
                typical = _to_python(step.statistics_[index])
        elif not is_passthrough(step):
            low, center, high = _column_stats(step, index)
            observed = (low, high) if low is not None and high is not None else None
            return (center if typical is None else typical), observed
    return typical, None


def _column_stats(step: Any, index: int) -> tuple[float | None, float | None, float | None]:
    """Return the minimum, a central value and the maximum of a column, as stored in *step*.

    Each is None if *step* does not store it. The central value is a mean, a median or a midpoint.
    """
    if hasattr(step, "data_min_"):
        low, high = _finite(step.data_min_[index]), _finite(step.data_max_[index])
        return low, _midpoint(low, high), high
    if hasattr(step, "max_abs_"):
        # A MaxAbsScaler stores only the largest magnitude, so assume the widest range.
        high = _finite(step.max_abs_[index])
        return (None if high is None else -high), None, high
    if hasattr(step, "quantiles_"):
        quantiles = step.quantiles_[:, index]
        median = (quantiles[(len(quantiles) - 1) // 2] + quantiles[len(quantiles) // 2]) / 2
        return _finite(quantiles[0]), _finite(median), _finite(quantiles[-1])
    if hasattr(step, "bin_edges_"):
        return _finite(step.bin_edges_[index][0]), None, _finite(step.bin_edges_[index][-1])
    if hasattr(step, "bsplines_"):
        # A B-spline has *degree* extra knots on either side of the data.
        knots = step.bsplines_[index].t[step.degree : -step.degree or None]
        low, high = _finite(knots[0]), _finite(knots[-1])
        return low, _midpoint(low, high), high
    attribute = {"StandardScaler": "mean_", "RobustScaler": "center_"}.get(type(step).__name__)
    centers = None if attribute is None else getattr(step, attribute, None)
    return None, None if centers is None else _finite(centers[index]), None


def _midpoint(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else low / 2 + high / 2


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _to_python(value: Any) -> Level | None:
    """Convert a statistic of an imputer to text, a boolean or a finite float; None if impossible."""
    if isinstance(value, str):
        return str(value)
    if type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    return _finite(value) if hasattr(value, "__float__") else None
