"""Plans for histogram-based gradient boosting, which call scikit-learn's compiled predictor directly."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .base import FeatureSource, Numbers, PlanOutput, PredictFn, ReadFn, plan_transformer, register_predictor
from .link_functions import argmax_labels, binary_probabilities, load_expit, softmax
from .merged_trees import LARGE, MAX_NODES, TreeFields, merge_trees, sequential_sum, tile_rows

__all__: list[str] = []

_MODULE = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting"
_FIELDS = TreeFields("left", "right", "feature_idx", "num_threshold")


@register_predictor(_MODULE, "HistGradientBoostingRegressor")
def _plan_regressor(step: Any, source: FeatureSource) -> PredictFn:
    read_scores = _score_reader(step, source)
    if step.loss in ("poisson", "gamma"):
        return lambda table: (np.exp(read_scores(table)[:, 0]), None)
    return lambda table: (read_scores(table)[:, 0], None)


@register_predictor(_MODULE, "HistGradientBoostingClassifier")
def _plan_classifier(step: Any, source: FeatureSource) -> PredictFn:
    read_scores, classes = _score_reader(step, source), step.classes_
    if len(classes) > 2:
        return partial(_predict_multiclass, read_scores, classes)
    return partial(_predict_binary, read_scores, classes, load_expit())


def _predict_binary(
    read_scores: ReadFn, classes: Any, expit: Callable[[Any], Numbers], table: Table
) -> PlanOutput:
    scores = read_scores(table)[:, 0]
    return classes.take(scores > 0), binary_probabilities(expit(scores))


def _predict_multiclass(read_scores: ReadFn, classes: Any, table: Table) -> PlanOutput:
    scores = read_scores(table)
    return argmax_labels(classes, scores), softmax(scores)


def _score_reader(step: Any, source: FeatureSource) -> ReadFn:
    """Return a function that adds up all iterations of *step*.

    The function returns scores of shape (rows, trees per iteration).
    """
    preprocessor = getattr(step, "_preprocessor", None)  # new in scikit-learn 1.4
    if preprocessor is not None:
        source = plan_transformer(preprocessor, source)
    predictors = [tree for iteration in step._predictors for tree in iteration]
    add = _separate_adder(step, predictors)
    if sum(len(tree.nodes) for tree in predictors) <= MAX_NODES:
        add = partial(_add_by_size, _merged_adder(step, predictors), add)
    read = source.number_reader(step)
    return lambda table: add(read(table))


def _add_by_size(
    add_merged: Callable[[Numbers], Numbers], add_separate: Callable[[Numbers], Numbers], block: Numbers
) -> Numbers:
    return add_merged(block) if len(block) < LARGE else add_separate(block)


def _separate_adder(step: Any, predictors: list[Any]) -> Callable[[Numbers], Numbers]:
    known, positions = step._bin_mapper.make_known_categories_bitsets()
    start, width = step._baseline_prediction, step.n_trees_per_iteration_

    def add(block: Numbers) -> Numbers:
        scores = np.empty((len(block), width), order="F")
        scores[:] = start
        for index, tree in enumerate(predictors):
            scores[:, index % width] += tree.predict(block, known, positions, 1)
        return scores

    return add


def _merged_adder(step: Any, predictors: list[Any]) -> Callable[[Numbers], Numbers]:
    from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data

    trees = [tree.nodes.copy() for tree in predictors]
    bitsets = [tree.raw_left_cat_bitsets for tree in predictors]
    for nodes, offset in zip(trees, np.cumsum([0, *map(len, bitsets)]), strict=False):
        nodes["bitset_idx"][nodes["is_categorical"] != 0] += np.uint32(offset)
    merged = merge_trees(
        trees, [nodes["is_leaf"] == 0 for nodes in trees], step._bin_mapper.is_categorical_.size, _FIELDS
    )
    known, positions = step._bin_mapper.make_known_categories_bitsets()
    start, count, width = step._baseline_prediction.reshape(-1, 1), len(trees), step.n_trees_per_iteration_
    arguments = (np.concatenate(bitsets), known, np.append(positions, np.uint32(0)), 1)

    def add(block: Numbers) -> Numbers:
        out = np.empty(count * len(block))
        _predict_from_raw_data(merged, tile_rows(block, count), *arguments, out)
        scores: Numbers = sequential_sum(start, out.reshape(-1, width, len(block))).T
        return scores

    return add
