"""Pipelines, column transformers, searches, and an estimator for each output."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .parts import (
    Answer,
    Answering,
    NoPlan,
    Numbers,
    Reading,
    Source,
    answered,
    predictor,
    transformed,
    transformer,
)

__all__: list[str] = []


@transformer("sklearn.pipeline", "Pipeline")
def _pipeline(step: Any, source: Source) -> Source:
    return _through([part for _, part in step.steps], source)


@predictor("sklearn.pipeline", "Pipeline")
def _ended_pipeline(step: Any, source: Source) -> Answering:
    parts = [part for _, part in step.steps]
    return answered(parts[-1], _through(parts[:-1], source))


def _through(parts: Sequence[Any], source: Source) -> Source:
    for part in parts:
        if part is not None and part != "passthrough":
            source = transformed(part, source)
    return source


@transformer("sklearn.preprocessing._function_transformer", "FunctionTransformer")
def _passed(step: Any, source: Source) -> Source:
    # Without a function it is what a "passthrough" becomes; HistGradientBoosting has it check an array,
    # and allows it everything.
    checks = getattr(getattr(step.func, "func", None), "__qualname__", "") == "check_array"
    if step.validate or not (
        step.func is None or (checks and step.func.keywords["ensure_all_finite"] is False)
    ):
        raise NoPlan("FunctionTransformer calls a function")
    return source


@transformer("sklearn.compose._column_transformer", "ColumnTransformer")
def _columns(step: Any, source: Source) -> Source:
    if source.lanes is None:
        raise NoPlan("ColumnTransformer is not the first step")
    places, parts = step._transformer_to_input_indices, []
    for name, part, selected in step.transformers_:
        if len(places[name]) and part != "drop":
            lanes = [source.lanes[at] for at in places[name]]
            # Of an array a slice is a view, and what a list chooses is laid out column by column.
            chosen = not hasattr(step, "feature_names_in_") and not isinstance(selected, slice)
            given = replace(source, lanes=tuple(lanes), order="F" if chosen else source.order)
            parts.append(transformed(part, given))
    reads = tuple(part.numbers(step, sparse=True) for part in parts)
    return Source(read=partial(_side_by_side, reads), sparse=step.sparse_output_)


def _side_by_side(reads: tuple[Reading, ...], table: Table) -> Numbers:
    return np.concatenate([read(table) for read in reads], axis=1)


@predictor("sklearn.model_selection._search", "GridSearchCV", "RandomizedSearchCV")
@predictor(
    "sklearn.model_selection._search_successive_halving", "HalvingGridSearchCV", "HalvingRandomSearchCV"
)
def _search(step: Any, source: Source) -> Answering:
    return answered(step.best_estimator_, source)


@predictor("sklearn.multioutput", "MultiOutputRegressor", "MultiOutputClassifier")
def _each(step: Any, source: Source) -> Answering:
    return partial(_answer_each, [answered(part, source) for part in step.estimators_])


def _answer_each(parts: Sequence[Answering], table: Table) -> Answer:
    values, told = zip(*[part(table) for part in parts], strict=True)
    return np.asarray(values).T, None if told[0] is None else list(told)
