"""Trace the origin of each feature of a model: the input column from which the feature is computed.

Contributions of features are added up by their origins. A feature that is computed from several columns has
no origin. Only scikit-learn's own classes are traced, not their subclasses, which may override any method.
"""

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Unattributable", "final_estimator", "trace_origins"]

_SEARCHES = {
    "sklearn.model_selection._search.GridSearchCV",
    "sklearn.model_selection._search.RandomizedSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
}
_THRESHOLDS = {
    "sklearn.model_selection._classification_threshold.FixedThresholdClassifier",
    "sklearn.model_selection._classification_threshold.TunedThresholdClassifierCV",
}


class Unattributable(Exception):
    """Error for a model with a feature that is computed from several columns, or in an unknown way."""


def final_estimator(model: Any) -> tuple[list[Any], Any]:
    """Return the transformers of a pipeline, and its last step. For other models, return [] and the model."""
    name = _name(model)
    if name in _SEARCHES:
        return final_estimator(model.best_estimator_)
    if name in _THRESHOLDS:
        return final_estimator(model.estimator_)
    if name != "sklearn.pipeline.Pipeline":
        return [], model
    steps = [step for _, step in model.steps if step is not None and step != "passthrough"]
    inner, final = final_estimator(steps[-1])
    return [*steps[:-1], *inner], final


def trace_origins(steps: Sequence[Any], origins: Sequence[int], width: int) -> list[int]:
    """Return the index of the column from which each feature of the last step is computed.

    Args:
        steps: Fitted transformers before the last step.
        origins: Index of the column for each input of the first step; -1 for an input that is not a column.
        width: Number of features of the last step.

    Raises:
        Unattributable: A feature is computed from several columns, or in an unknown way.
    """
    traced = list(origins)
    for step in steps:
        traced = _trace(step, traced)
    traced = _fit_width(traced, width)
    if -1 in traced:
        raise Unattributable
    return traced


def _trace(step: Any, origins: list[int]) -> list[int]:
    """Return the index of the column from which each output of *step* is computed.

    *origins* has the index for each input of *step*; -1 is an input that is not a column.
    """
    if len(set(origins)) == 1:
        # All outputs of the step come from this column. `_fit_width` corrects their number.
        return origins
    trace = _TRACERS.get(_name(step))
    if trace is None or len(origins) != step.n_features_in_:
        raise Unattributable
    return trace(step, origins)


def _trace_pipeline(step: Any, origins: list[int]) -> list[int]:
    for _, part in step.steps:
        origins = origins if part is None or part == "passthrough" else _trace(part, origins)
    return origins


def _trace_column_transformer(step: Any, origins: list[int]) -> list[int]:
    traced: list[int] = []
    for name, part, _ in step.transformers_:
        block = step.output_indices_[name]
        width = block.stop - block.start
        if not width:
            continue
        if block.start != len(traced):
            raise Unattributable
        selected = [origins[index] for index in step._transformer_to_input_indices[name]]
        is_passthrough = isinstance(part, str) and part == "passthrough"
        traced += _fit_width(selected if is_passthrough else _trace(part, selected), width)
    return traced


def _trace_imputer(step: Any, origins: list[int]) -> list[int]:
    # A column without any value in training is dropped, unless keep_empty_features is set.
    statistics = step.statistics_
    is_empty = [value != value for value in statistics.tolist()] if not step.keep_empty_features else []
    imputed = [origin for index, origin in enumerate(origins) if not (is_empty and is_empty[index])]
    indicator = step.indicator_
    return imputed + ([] if indicator is None else [origins[index] for index in indicator.features_])


def _trace_discretizer(step: Any, origins: list[int]) -> list[int]:
    return origins if step.encode == "ordinal" else _repeat(origins, step.n_bins_)


def _trace_splines(step: Any, origins: list[int]) -> list[int]:
    return _repeat(origins, [step.n_features_out_ // len(origins)] * len(origins))


def _trace_function(step: Any, origins: list[int]) -> list[int]:
    function = step.func
    is_ufunc = type(function).__name__ == "ufunc" and type(function).__module__ == "numpy"
    if function is not None and not (is_ufunc and function.nin == 1 and not step.kw_args):
        raise Unattributable
    return origins


def _repeat(origins: Sequence[int], counts: Sequence[int]) -> list[int]:
    return [origin for origin, count in zip(origins, counts, strict=True) for _ in range(count)]


def _fit_width(origins: list[int], width: int) -> list[int]:
    """Return an origin for each of *width* features.

    If the number of *origins* differs from *width*, they must all be the same column.
    """
    if len(origins) == width:
        return origins
    if len(set(origins)) != 1:
        raise Unattributable
    return origins[:1] * width


def _name(step: Any) -> str:
    return f"{type(step).__module__}.{type(step).__qualname__}"


_TRACERS: dict[str, Callable[[Any, list[int]], list[int]]] = {
    "sklearn.compose._column_transformer.ColumnTransformer": _trace_column_transformer,
    "sklearn.impute._base.MissingIndicator": lambda step, origins: [origins[i] for i in step.features_],
    "sklearn.impute._base.SimpleImputer": _trace_imputer,
    "sklearn.pipeline.Pipeline": _trace_pipeline,
    "sklearn.preprocessing._discretization.KBinsDiscretizer": _trace_discretizer,
    "sklearn.preprocessing._encoders.OneHotEncoder": lambda step, origins: _repeat(
        origins, step._n_features_outs
    ),
    "sklearn.preprocessing._function_transformer.FunctionTransformer": _trace_function,
    "sklearn.preprocessing._polynomial.SplineTransformer": _trace_splines,
    **dict.fromkeys(
        (
            "sklearn.preprocessing._data.Binarizer",
            "sklearn.preprocessing._data.MaxAbsScaler",
            "sklearn.preprocessing._data.MinMaxScaler",
            "sklearn.preprocessing._data.PowerTransformer",
            "sklearn.preprocessing._data.QuantileTransformer",
            "sklearn.preprocessing._data.RobustScaler",
            "sklearn.preprocessing._data.StandardScaler",
            "sklearn.preprocessing._encoders.OrdinalEncoder",
        ),
        lambda step, origins: origins,  # noqa: ARG005  one output for each input
    ),
    **dict.fromkeys(
        (
            "sklearn.feature_selection._from_model.SelectFromModel",
            "sklearn.feature_selection._rfe.RFE",
            "sklearn.feature_selection._rfe.RFECV",
            "sklearn.feature_selection._sequential.SequentialFeatureSelector",
            "sklearn.feature_selection._univariate_selection.GenericUnivariateSelect",
            "sklearn.feature_selection._univariate_selection.SelectFdr",
            "sklearn.feature_selection._univariate_selection.SelectFpr",
            "sklearn.feature_selection._univariate_selection.SelectFwe",
            "sklearn.feature_selection._univariate_selection.SelectKBest",
            "sklearn.feature_selection._univariate_selection.SelectPercentile",
            "sklearn.feature_selection._variance_threshold.VarianceThreshold",
        ),
        lambda step, origins: [origins[index] for index in step.get_support(indices=True)],
    ),
}
"""Functions that trace the transformers of scikit-learn, by their class."""
