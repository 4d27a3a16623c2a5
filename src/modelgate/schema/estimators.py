"""What one fitted estimator tells of a column that comes its way: its kind, its nulls, its figures.

Nothing is imported for it: estimators are known by what they have, and some by their names.
"""

import math
from collections.abc import Sequence
from typing import Any

from .columns import Kind, Level

__all__ = [
    "figures",
    "fills",
    "has_base",
    "is_imputer",
    "is_vectorizer",
    "kind_told",
    "knows_none",
    "passes",
    "tag",
    "takes_anything",
]


def kind_told(step: Any, at: int | None) -> Kind | list[Any] | None:
    """What *step* says of its column *at*: a kind, the levels, or None to let the next one say it."""
    if hasattr(step, "input_kinds_"):
        kinds: list[Kind] = step.input_kinds_
        return kinds[at] if at is not None else "any"
    if passes(step) or (is_imputer(step) and type(step).__name__ == "SimpleImputer"):
        return None
    if is_vectorizer(step):
        return "text"
    if hasattr(step, "get_cat_feature_indices"):
        # CatBoost: its tags say that any column may be categorical, and of texts it makes categories too.
        categorical = [*step.get_cat_feature_indices(), *step.get_text_feature_indices()]
        return "any" if at is None or at in categorical else "number"
    if not type(step).__module__.startswith("sklearn."):
        return "any" if hasattr(step, "transform") or tag(step, "categorical", "string") else "number"
    if getattr(step, "func", None) is not None or takes_anything(step):
        return "any"
    categories = getattr(step, "categories_", None)
    if categories is not None and at is not None:
        return _levels(categories[at])
    return _told_by_boosting(step, at) if hasattr(step, "is_categorical_") else "number"


def _told_by_boosting(step: Any, at: int | None) -> Kind | list[Any]:
    """HistGradientBoosting encodes its categorical columns itself, with an encoder it keeps private."""
    categorical = step.is_categorical_
    if categorical is None or (at is not None and not categorical[at]):
        return "number"
    branches = getattr(getattr(step, "_preprocessor", None), "named_transformers_", {})
    categories = getattr(branches.get("encoder"), "categories_", None)
    if at is None or categories is None:
        return "any"
    return _levels(categories[int(categorical[:at].sum())])


def _levels(categories: Any) -> list[Any]:
    # Of dates numpy would make whole numbers.
    return list(categories if categories.dtype.kind in "mM" else categories.tolist())


def fills(step: Any, at: int | None) -> bool:
    """Whether a null in the column *at* comes out of *step* as something else."""
    if type(step).__name__ == "MissingIndicator":
        # It refuses a null where training had none, unless told not to.
        known = step.features == "all" or not step.error_on_new or at in step.features_
        return known and tag(step, "allow_nan")
    if not is_imputer(step):
        return False
    marker = getattr(step, "missing_values", math.nan)
    return marker is None or tag(step, "allow_nan") or marker != marker


def knows_none(step: Any, at: int | None) -> bool:
    """Whether *step* was fitted with None for a null in the column *at*, and not with NaN."""
    if is_imputer(step):
        return getattr(step, "missing_values", math.nan) is None
    categories = getattr(step, "categories_", None)
    return categories is not None and at is not None and None in categories[at].tolist()


def is_vectorizer(step: Any) -> bool:
    """Whether *step* makes columns of texts."""
    return hasattr(step, "vocabulary_") or type(step).__name__ == "HashingVectorizer"


def is_imputer(step: Any) -> bool:
    """Whether *step* is there to fill nulls in."""
    return type(step).__name__.endswith("Imputer")


def passes(step: Any) -> bool:
    """Whether *step* hands on what it is given: what a "passthrough" becomes."""
    return type(step).__name__ == "FunctionTransformer" and step.func is None and not step.validate


def takes_anything(step: Any) -> bool:
    """Whether *step* does not look at its input, as a DummyClassifier, or only for nulls."""
    tags = getattr(step, "__sklearn_tags__", None)
    if type(step).__name__ == "MissingIndicator":
        return True
    return tags is not None and not hasattr(step, "func") and bool(tags().no_validation)


def tag(step: Any, *names: str) -> bool:
    """Whether *step* says one of *names* of its input, in scikit-learn's ``input_tags``."""
    tags = getattr(step, "__sklearn_tags__", None)
    return tags is not None and any(getattr(tags().input_tags, name) for name in names)


def has_base(step: Any, name: str) -> bool:
    """Whether *step* is scikit-learn's own and has the base class *name*."""
    own = type(step).__module__.startswith("sklearn.")
    return own and any(base.__name__ == name for base in type(step).__mro__)


def figures(steps: Sequence[tuple[Any, int | None]]) -> tuple[Level | None, tuple[float, float] | None]:
    """A typical value and the range: from an imputer, and the first scaler; after it, values are others."""
    typical: Level | None = None
    for step, at in steps:
        if at is None:
            break
        if hasattr(step, "statistics_"):
            if typical is None and step.strategy != "constant":
                typical = _plain(step.statistics_[at])
        elif not passes(step):
            low, middle, high = _range(step, at)
            seen = (low, high) if low is not None and high is not None else None
            return (middle if typical is None else typical), seen
    return typical, None


def _range(step: Any, at: int) -> tuple[float | None, float | None, float | None]:
    """The least, a middle and the greatest value of the column *at*, as far as *step* remembers them."""
    if hasattr(step, "data_min_"):
        least, greatest = _number(step.data_min_[at]), _number(step.data_max_[at])
        middle = None if least is None or greatest is None else least / 2 + greatest / 2
        return least, middle, greatest
    if hasattr(step, "max_abs_"):
        # The sign is forgotten: at the widest it was this.
        greatest = _number(step.max_abs_[at])
        return (None if greatest is None else -greatest), None, greatest
    if hasattr(step, "quantiles_"):
        column = step.quantiles_[:, at]
        middle = (column[(len(column) - 1) // 2] + column[len(column) // 2]) / 2
        return _number(column[0]), _number(middle), _number(column[-1])
    if hasattr(step, "bin_edges_"):
        return _number(step.bin_edges_[at][0]), None, _number(step.bin_edges_[at][-1])
    if hasattr(step, "bsplines_"):
        # Its knots lie around those that it chose among the values.
        knots = step.bsplines_[at].t[step.degree : -step.degree or None]
        least, greatest = _number(knots[0]), _number(knots[-1])
        return least, None if least is None or greatest is None else least / 2 + greatest / 2, greatest
    center = {"StandardScaler": "mean_", "RobustScaler": "center_"}.get(type(step).__name__)
    centers = None if center is None else getattr(step, center, None)
    return None, None if centers is None else _number(centers[at]), None


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _plain(value: Any) -> Level | None:
    """*value* of an imputer as Python has it: a number as a float, a text or a boolean as it is."""
    if isinstance(value, str):
        return str(value)
    if type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    return _number(value) if hasattr(value, "__float__") else None
