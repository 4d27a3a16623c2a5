"""Find the columns in which a fitted model accepts unknown categories."""

from typing import Any

from .column_paths import paths_through

__all__ = ["columns_with_unknown_levels"]

_ACCEPTING = ("ignore", "warn", "infrequent_if_exist", "use_encoded_value")
"""Values of ``handle_unknown`` with which scikit-learn's encoders accept unknown categories."""


def columns_with_unknown_levels(model: Any) -> set[str]:
    """Return the names of the encoded columns in which *model* accepts unknown categories.

    Encoders of scikit-learn accept unknown categories with ``handle_unknown="ignore"`` or a similar option.
    TargetEncoder and HistGradientBoosting always accept them. The set is empty if the columns of *model*
    cannot be traced.
    """
    try:
        paths = paths_through(model)
    except Exception:  # A model of another library may store anything in the attributes read.
        return set()
    accepts: dict[str, bool] = {}
    for path in paths:
        for step, index in path.steps:
            if _encodes(step, index):
                accepts[path.name] = accepts.get(path.name, True) and _accepts_unknown(step)
    return {name for name, accepted in accepts.items() if accepted}


def _encodes(step: Any, index: int | None) -> bool:
    categorical = getattr(step, "is_categorical_", None)
    return hasattr(step, "categories_") or (
        categorical is not None and index is not None and bool(categorical[index])
    )


def _accepts_unknown(step: Any) -> bool:
    return (
        type(step).__name__ == "TargetEncoder"
        or hasattr(step, "is_categorical_")
        or (getattr(step, "handle_unknown", None) in _ACCEPTING)
    )
