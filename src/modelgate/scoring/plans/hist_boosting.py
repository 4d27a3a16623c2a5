"""Histogram-based gradient boosting, through scikit-learn's compiled predictor."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .grove import LARGE, MOST_NODES, Fields, in_order, planted, repeated
from .links import imported_expit, labels_of, softmax, two_classes
from .parts import Answer, Answering, Numbers, Reading, Source, predictor, transformed

__all__: list[str] = []

_MODULE = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting"
_FIELDS = Fields("left", "right", "feature_idx", "num_threshold")


@predictor(_MODULE, "HistGradientBoostingRegressor")
def _regressor(step: Any, source: Source) -> Answering:
    scores = _scores(step, source)
    if step.loss in ("poisson", "gamma"):
        return lambda table: (np.exp(scores(table)[:, 0]), None)
    return lambda table: (scores(table)[:, 0], None)


@predictor(_MODULE, "HistGradientBoostingClassifier")
def _classifier(step: Any, source: Source) -> Answering:
    scores, classes = _scores(step, source), step.classes_
    if len(classes) > 2:
        return partial(_of_many, scores, classes)
    return partial(_of_two, scores, classes, imported_expit())


def _of_two(scores: Reading, classes: Any, expit: Callable[[Any], Numbers], table: Table) -> Answer:
    there = scores(table)[:, 0]
    return classes.take(there > 0), two_classes(expit(there))


def _of_many(scores: Reading, classes: Any, table: Table) -> Answer:
    told = scores(table)
    return labels_of(classes, told), softmax(told)


def _scores(step: Any, source: Source) -> Reading:
    """(rows, trees of an iteration) of what all iterations add up to."""
    if step._preprocessor is not None:
        source = transformed(step._preprocessor, source)
    predictors = [tree for iteration in step._predictors for tree in iteration]
    add = _tree_by_tree(step, predictors)
    if sum(len(tree.nodes) for tree in predictors) <= MOST_NODES:
        add = partial(_add_small, _at_once(step, predictors), add)
    read = source.numbers(step)
    return lambda table: add(read(table))


def _add_small(
    at_once: Callable[[Numbers], Numbers], tree_by_tree: Callable[[Numbers], Numbers], block: Numbers
) -> Numbers:
    return at_once(block) if len(block) < LARGE else tree_by_tree(block)


def _tree_by_tree(step: Any, predictors: list[Any]) -> Callable[[Numbers], Numbers]:
    known, places = step._bin_mapper.make_known_categories_bitsets()
    start, width = step._baseline_prediction, step.n_trees_per_iteration_

    def add(block: Numbers) -> Numbers:
        scores = np.empty((len(block), width), order="F")
        scores[:] = start
        for at, tree in enumerate(predictors):
            scores[:, at % width] += tree.predict(block, known, places, 1)
        return scores

    return add


def _at_once(step: Any, predictors: list[Any]) -> Callable[[Numbers], Numbers]:
    from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data

    trees = [tree.nodes.copy() for tree in predictors]
    sets = [tree.raw_left_cat_bitsets for tree in predictors]
    for nodes, before in zip(trees, np.cumsum([0, *map(len, sets)]), strict=False):
        nodes["bitset_idx"][nodes["is_categorical"] != 0] += np.uint32(before)
    whole = planted(
        trees, [nodes["is_leaf"] == 0 for nodes in trees], step._bin_mapper.is_categorical_.size, _FIELDS
    )
    known, places = step._bin_mapper.make_known_categories_bitsets()
    start, count, width = step._baseline_prediction.reshape(-1, 1), len(trees), step.n_trees_per_iteration_
    told = (np.concatenate(sets), known, np.append(places, np.uint32(0)), 1)

    def add(block: Numbers) -> Numbers:
        out = np.empty(count * len(block))
        _predict_from_raw_data(whole, repeated(block, count), *told, out)
        scores: Numbers = in_order(start, out.reshape(-1, width, len(block))).T
        return scores

    return add
