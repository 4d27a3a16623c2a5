"""Detect the form of the rows that a model takes: a DataFrame, an array, dictionaries or texts."""

from typing import Any, Literal, TypeAlias

from .column_paths import first_inside, takes_texts
from .estimator_info import is_vectorizer
from .libraries import is_native_booster, library_of, takes_formula

__all__ = ["InputForm", "possible_forms"]

InputForm: TypeAlias = Literal["frame", "array", "records", "texts"]

_KNOWN = ("sklearn", "xgboost", "lightgbm", "catboost")
"""Libraries whose models store column names if they were trained on a DataFrame."""


def possible_forms(model: Any, *, named: bool) -> tuple[InputForm, ...]:
    """Return the forms of rows that *model* may take, the most likely form first.

    If only one form is returned, it is certain.

    Args:
        model: Fitted model.
        named: Whether the model stores column names.
    """
    if takes_texts(model):
        return ("texts",)
    if _takes_records(model):
        return ("records",)
    first = _first_step(model)
    if takes_formula(first) or library_of(first) == "mlflow":
        return ("frame",)
    if named:
        # A class of another library may store names, and yet reject a DataFrame.
        certain = hasattr(model, "feature_names_in_") or library_of(first) in (*_KNOWN, "statsmodels")
        return ("frame",) if certain else ("frame", "array")
    if library_of(first) in _KNOWN and (hasattr(first, "n_features_in_") or is_native_booster(first)):
        return ("array",)
    return ("array", "frame", "records", "texts")


def _takes_records(model: Any) -> bool:
    """Return whether *model* takes dictionaries, as a DictVectorizer or a FeatureHasher does."""
    first = _first_step(model)
    if type(first).__name__ == "FeatureHasher":
        return bool(first.input_type == "dict")
    return is_vectorizer(first) and type(first).__name__ == "DictVectorizer"


def _first_step(model: Any) -> Any:
    inner = first_inside(model)
    return model if inner is None else _first_step(inner)
