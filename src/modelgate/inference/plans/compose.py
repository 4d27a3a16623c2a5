"""Plans for pipelines, column transformers, hyperparameter searches, and multi-output estimators."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .base import (
    FeatureSource,
    Numbers,
    PlanOutput,
    PredictFn,
    ReadFn,
    Unplannable,
    plan_predictor,
    plan_transformer,
    register_predictor,
    register_transformer,
)

__all__: list[str] = []


@register_transformer("sklearn.pipeline", "Pipeline")
def _plan_pipeline_transformer(step: Any, source: FeatureSource) -> FeatureSource:
    return _plan_steps([part for _, part in step.steps], source)


@register_predictor("sklearn.pipeline", "Pipeline")
def _plan_pipeline(step: Any, source: FeatureSource) -> PredictFn:
    parts = [part for _, part in step.steps]
    return plan_predictor(parts[-1], _plan_steps(parts[:-1], source))


def _plan_steps(parts: Sequence[Any], source: FeatureSource) -> FeatureSource:
    for part in parts:
        if part is not None and part != "passthrough":
            source = plan_transformer(part, source)
    return source


@register_transformer("sklearn.preprocessing._function_transformer", "FunctionTransformer")
def _plan_function_transformer(step: Any, source: FeatureSource) -> FeatureSource:
    # Two cases are supported: no function, as in a "passthrough", and the function check_array in
    # HistGradientBoosting, which accepts all values there.
    checks = getattr(getattr(step.func, "func", None), "__qualname__", "") == "check_array"
    if step.validate or not (
        step.func is None or (checks and step.func.keywords["ensure_all_finite"] is False)
    ):
        raise Unplannable("no plan for a FunctionTransformer with a function")
    return source


@register_transformer("sklearn.compose._column_transformer", "ColumnTransformer")
def _plan_column_transformer(step: Any, source: FeatureSource) -> FeatureSource:
    if source.features is None:
        raise Unplannable("ColumnTransformer is not the first step")
    indices, parts = step._transformer_to_input_indices, []
    for name, part, selected in step.transformers_:
        if len(indices[name]) and part != "drop":
            features = tuple(source.features[index] for index in indices[name])
            # A slice of an array is a view. Indexing with a list returns a copy in "F" order.
            copied = not hasattr(step, "feature_names_in_") and not isinstance(selected, slice)
            part_source = replace(source, features=features, order="F" if copied else source.order)
            # Before scikit-learn 1.4, the step is still "passthrough" after the fit.
            parts.append(_plan_steps([part], part_source))
    reads = tuple(part.number_reader(step, sparse=True) for part in parts)
    return FeatureSource(read=partial(_read_side_by_side, reads), sparse=step.sparse_output_)


def _read_side_by_side(reads: tuple[ReadFn, ...], table: Table) -> Numbers:
    return np.concatenate([read(table) for read in reads], axis=1)


@register_predictor("sklearn.model_selection._search", "GridSearchCV", "RandomizedSearchCV")
@register_predictor(
    "sklearn.model_selection._search_successive_halving", "HalvingGridSearchCV", "HalvingRandomSearchCV"
)
def _plan_search(step: Any, source: FeatureSource) -> PredictFn:
    return plan_predictor(step.best_estimator_, source)


@register_predictor("sklearn.multioutput", "MultiOutputRegressor", "MultiOutputClassifier")
def _plan_multi_output(step: Any, source: FeatureSource) -> PredictFn:
    return partial(_predict_outputs, [plan_predictor(part, source) for part in step.estimators_])


def _predict_outputs(parts: Sequence[PredictFn], table: Table) -> PlanOutput:
    values, probabilities = zip(*[part(table) for part in parts], strict=True)
    return np.asarray(values).T, None if probabilities[0] is None else list(probabilities)
