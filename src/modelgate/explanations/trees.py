"""Compute contributions to the predictions of trees and their ensembles, by shap's TreeExplainer.

The explainer is path-dependent, which means that the trees themselves represent the training rows: if a
column is unknown, the branches of a split are weighted by the number of training rows in them. shap's
alternative, "interventional", is not exact.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigurationError
from ..schema import Table
from .attribution import Link, Numbers, TransformFn, margins
from .origins import Unattributable

__all__ = ["TreeMethod", "is_tree_model"]

_MODULES = (
    "sklearn.ensemble._forest.",
    "sklearn.ensemble._gb.",
    "sklearn.ensemble._hist_gradient_boosting.",
    "sklearn.tree.",
)
_ROWS_PER_CALL = 256


def is_tree_model(final: Any) -> bool:
    """Return whether *final* is a tree or an ensemble of trees that shap may explain.

    Histogram-based gradient boosting with categorical features is excluded: shap treats the categories as
    numbers without raising an error.
    """
    is_categorical = getattr(final, "is_categorical_", None)
    has_categories = is_categorical is not None and bool(is_categorical.any())
    return f"{type(final).__module__}.".startswith(_MODULES) and not has_categories


class TreeMethod:
    """Attribution method for trees and their ensembles.

    Args:
        final: Last step of the model.
        transform: Function that returns the features of *final*.
        origins: Index of the column from which each feature is computed.
        columns: Number of columns.
        count: Number of numbers that the model predicts for a row.
        link: Space in which the values of the trees are added up.

    Raises:
        ConfigurationError: shap is not installed.
        Unattributable: shap cannot explain *final*.
    """

    name = "tree"
    rows_per_call = _ROWS_PER_CALL

    def __init__(
        self,
        final: Any,
        transform: TransformFn,
        origins: Sequence[int],
        columns: int,
        count: int,
        link: Link,
    ) -> None:
        try:
            self._explainer = _create_explainer(final)
        except ConfigurationError:
            raise
        except Exception as error:
            raise Unattributable from error
        self._transform = transform
        self._count = count
        self._sums = np.zeros((len(origins), columns))
        self._sums[np.arange(len(origins)), list(origins)] = 1
        self.base_values = self._numbers(np.atleast_1d(self._explainer.expected_value)[None])[0]
        self.link = link

    def attribute(self, table: Table, numbers: Numbers) -> Numbers:  # noqa: ARG002  see `Method`
        """Return the contributions for the rows of *table*."""
        features = self._transform(table)
        features = features if isinstance(features, np.ndarray) else features.toarray()
        values = np.asarray(self._explainer.shap_values(features, check_additivity=False))
        # Shapes: (rows, features), or (rows, features, numbers).
        by_feature = self._numbers(values.reshape(-1, *values.shape[2:]))
        by_feature = by_feature.reshape(*values.shape[:2], self._count)
        strengths: Numbers = np.einsum("rfn,fc->rcn", by_feature, self._sums)
        return strengths

    def _numbers(self, values: Numbers) -> Numbers:
        """Reshape *values* to one column for each number that the model predicts."""
        values = values.reshape(len(values), -1)
        values = values if self._count == 1 else margins(values)
        if values.shape[1] != self._count:
            raise Unattributable
        return values


def _create_explainer(final: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import shap
        except ImportError:
            raise ConfigurationError(
                'explanations of trees need shap: pip install "modelgate[shap]"'
            ) from None
        return shap.TreeExplainer(final, feature_perturbation="tree_path_dependent")
