"""Several models for different targets, combined in one model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..schema.introspection.column_paths import stored_names
from ..schema.introspection.infer_columns import outputs_of
from ..schema.model_input import column_labels

__all__ = ["MultiTarget", "order_targets", "target_names"]


class MultiTarget:
    """Model that combines fitted models for different targets: ``MultiTarget({"species": a, "weight": b})``.

    A deployment or a package of a `MultiTarget` has an output for each target, with the labels, probabilities
    and numbers of that target's model. Rows are validated once, and must have the columns of all models. Each
    model gets the columns that it was fitted on.

    Args:
        target_models: Fitted models by target name, in the order of the outputs. All must be fitted on named
            columns, or all on arrays with the same columns.

    Raises:
        ConfigurationError: There are no models, a name is not text, a model is not fitted or predicts several
            values, or the columns of the models do not match.
    """

    def __init__(self, target_models: Mapping[str, Any]) -> None:
        if not isinstance(target_models, Mapping) or not target_models:
            raise ConfigurationError(
                f'target_models must be a mapping such as {{"species": classifier}} (got {target_models!r:.80})'
            )
        for name, model in target_models.items():
            if not isinstance(name, str) or not name:
                raise ConfigurationError(f"target_models must have names that are text (got {name!r})")
            if not hasattr(model, "predict") or isinstance(model, type):
                raise ConfigurationError(
                    f"target_models must be fitted models with predict (got {model!r:.80} for {name!r})"
                )
            if isinstance(model, MultiTarget) or len(outputs_of(model)) > 1:
                raise ConfigurationError(
                    f"target_models must predict one value each (got {type(model).__name__} for {name!r})"
                )
        _check_same_rows(target_models)
        self.target_models = dict(target_models)

    def predict(self, X: Any) -> dict[str, npt.NDArray[Any]]:  # noqa: N803  scikit-learn's word
        """Return the predictions for the rows *X*, as a mapping of target names to arrays of shape (rows,).

        If *X* is a DataFrame, each model gets the columns that it was fitted on.
        """
        return {name: _predict(model, X) for name, model in self.target_models.items()}


def _predict(model: Any, X: Any) -> npt.NDArray[Any]:  # noqa: N803
    labels = column_labels(model, list(X.columns)) if hasattr(X, "columns") else None
    return np.asarray(model.predict(X if labels is None else X[labels]))


def target_names(model: Any, target: str | Sequence[str]) -> str | Sequence[str]:
    """Return *target*, or the names of the targets if *model* is a `MultiTarget`.

    Raises:
        ConfigurationError: The names in *target* differ from those of the `MultiTarget`.
    """
    if not isinstance(model, MultiTarget):
        return target
    names = list(model.target_models)
    if target != "prediction" and list(target) != names:
        raise ConfigurationError(
            f"target must be left out for a MultiTarget, which already names its targets (got {target!r})"
        )
    return names


def order_targets(y: Any, target: str | Sequence[str]) -> Any:
    """Return *y* with its columns in the order of *target*, if *y* is a DataFrame with these columns."""
    names = [target] if isinstance(target, str) else list(target)
    return y[names] if hasattr(y, "columns") and set(y.columns) == set(names) else y


def _check_same_rows(models: Mapping[str, Any]) -> None:
    named = {name: stored_names(model) is not None for name, model in models.items()}
    counts: set[Any] = {getattr(model, "n_features_in_", None) for model in models.values()} - {None}
    if len(set(named.values())) > 1 or (not any(named.values()) and len(counts) > 1):
        raise ConfigurationError(
            "target_models must all be fitted on named columns, or all on arrays with the same columns"
            f" (got models with named columns: {', '.join(name for name, has in named.items() if has) or 'none'}"
            f"; numbers of columns: {', '.join(map(str, sorted(counts)))})"
        )
