"""Read the class labels that a fitted model stores."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .column_paths import unwrap_estimator
from .libraries import is_native_booster
from .objectives import read_objective

__all__ = ["final_estimator", "stored_classes", "target_models"]


def target_models(model: Any) -> Mapping[str, Any] | None:
    """Return the models of a `modelgate.MultiTarget` by target name, or None for any other model."""
    return getattr(model, "target_models", None) if type(model).__name__ == "MultiTarget" else None


def stored_classes(model: Any) -> list[list[Any]] | None:
    """Return the labels of each output as Python values, in the order of the probabilities.

    They are read from ``classes_``, which may be an array, a list of labels, or a list with the labels of
    each output. The classes of a native booster and the components of a Gaussian mixture are numbered from 0.
    For a model without labels, the result is None.
    """
    if is_native_booster(model):
        count = read_objective(model).classes
        return [list(range(count))] if count else None
    classes = getattr(model, "classes_", None)
    if classes is None:
        estimator = final_estimator(model)
        is_mixture = hasattr(model, "predict_proba") and hasattr(estimator, "n_components")
        return [list(range(estimator.n_components))] if is_mixture else None
    if hasattr(classes, "tolist"):
        return [classes.tolist()] if len(classes) else None  # CatBoostRegressor has none
    if any(isinstance(labels, np.ndarray | list | tuple) for labels in classes):
        return [labels.tolist() if hasattr(labels, "tolist") else list(labels) for labels in classes]
    return [[label.item() if hasattr(label, "item") else label for label in classes]]


def final_estimator(model: Any) -> Any:
    """Return the estimator that predicts, such as the last step of a pipeline."""
    inner = model.steps[-1][1] if getattr(model, "steps", None) else unwrap_estimator(model)
    return model if inner is None else final_estimator(inner)
