"""Plans for decision trees and forests, which call scikit-learn's compiled code."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...schema import Table
from ...schema.introspection.estimator_info import has_tag
from .base import (
    FeatureSource,
    Numbers,
    PlanOutput,
    PredictFn,
    ReadFn,
    register_predictor,
    reject_infinite,
    reject_nonfinite,
)
from .link_functions import argmax_labels
from .merged_trees import LARGE, MAX_NODES, TreeFields, merge_trees, sequential_sum, tile_rows

__all__ = ["read_float32"]

_LeafValues: TypeAlias = Callable[[npt.NDArray[Any]], Numbers]
"""Function that returns the values of the leaves that rows reach, of shape (rows, outputs, classes)."""

_FIELDS = TreeFields("left_child", "right_child", "feature", "threshold")
_NO_CHILD = -1


def read_float32(step: Any, source: FeatureSource, *, nulls: bool) -> ReadFn:
    """Return a function that reads rows as float32, the input type of scikit-learn's trees.

    Args:
        step: Estimator.
        source: Input of the estimator.
        nulls: Whether the estimator accepts NaN in an array. NaN in a sparse matrix is always rejected.
    """
    check = reject_infinite if nulls and not source.sparse else reject_nonfinite
    return partial(_read_float32, source.number_reader(step, sparse=True), check)


def _read_float32(read: ReadFn, check: Callable[[Any], None], table: Table) -> npt.NDArray[Any]:
    block = read(table).astype(np.float32, order="C")
    check(block)
    return block


@register_predictor("sklearn.tree._classes", "DecisionTreeClassifier", "ExtraTreeClassifier")
def _plan_tree_classifier(step: Any, source: FeatureSource) -> PredictFn:
    return _plan_classifier(step, source, step, step.tree_.predict)


@register_predictor("sklearn.tree._classes", "DecisionTreeRegressor", "ExtraTreeRegressor")
def _plan_tree_regressor(step: Any, source: FeatureSource) -> PredictFn:
    return _plan_regressor(step, source, step, step.tree_.predict)


@register_predictor("sklearn.ensemble._forest", "RandomForestClassifier", "ExtraTreesClassifier")
def _plan_forest_classifier(step: Any, source: FeatureSource) -> PredictFn:
    return _plan_classifier(step, source, step.estimators_[0], _mean_of_trees(step))


@register_predictor("sklearn.ensemble._forest", "RandomForestRegressor", "ExtraTreesRegressor")
def _plan_forest_regressor(step: Any, source: FeatureSource) -> PredictFn:
    return _plan_regressor(step, source, step.estimators_[0], _mean_of_trees(step))


def _accepts_nulls(tree: Any) -> bool:
    return has_tag(tree, "allow_nan") and getattr(tree, "monotonic_cst", None) is None


def _plan_classifier(step: Any, source: FeatureSource, tree: Any, leaf_values: _LeafValues) -> PredictFn:
    read = read_float32(step, source, nulls=_accepts_nulls(tree))
    if step.n_outputs_ == 1:
        return partial(_classify, read, leaf_values, step.classes_)
    return partial(_classify_outputs, read, leaf_values, step.classes_)


def _classify(read: ReadFn, leaf_values: _LeafValues, classes: npt.NDArray[Any], table: Table) -> PlanOutput:
    probabilities = leaf_values(read(table))
    return argmax_labels(classes, probabilities), probabilities


def _classify_outputs(
    read: ReadFn, leaf_values: _LeafValues, classes: list[npt.NDArray[Any]], table: Table
) -> PlanOutput:
    values = leaf_values(read(table))
    probabilities = [values[:, index, : len(labels)] for index, labels in enumerate(classes)]
    predicted = np.empty((len(values), len(classes)), dtype=classes[0].dtype)
    for index, labels in enumerate(classes):
        predicted[:, index] = argmax_labels(labels, probabilities[index])
    return predicted, probabilities


def _plan_regressor(step: Any, source: FeatureSource, tree: Any, leaf_values: _LeafValues) -> PredictFn:
    read = read_float32(step, source, nulls=_accepts_nulls(tree))
    if step.n_outputs_ == 1:
        return lambda table: (leaf_values(read(table))[:, 0], None)
    return lambda table: (leaf_values(read(table))[:, :, 0], None)


def _mean_of_trees(forest: Any) -> _LeafValues:
    trees = [member.tree_ for member in forest.estimators_]
    separate = partial(_mean_of_separate_trees, [tree.predict for tree in trees])
    if sum(tree.node_count for tree in trees) > MAX_NODES:
        return separate
    return partial(_mean_of_merged_trees, *_merge(trees), separate)


def _mean_of_separate_trees(trees: Sequence[_LeafValues], block: npt.NDArray[Any]) -> Numbers:
    total = 0.0 + trees[0](block)
    for tree in trees[1:]:
        total += tree(block)
    total /= len(trees)
    return total


def _mean_of_merged_trees(
    apply: Callable[[Any], Any], values: Numbers, trees: int, separate: _LeafValues, block: npt.NDArray[Any]
) -> Numbers:
    if len(block) >= LARGE:
        return separate(block)
    leaves = values.take(apply(tile_rows(block, trees)), axis=0)
    return sequential_sum(0.0, leaves.reshape(trees, len(block), *values.shape[1:])) / trees


def _merge(trees: Sequence[Any]) -> tuple[Callable[[Any], Any], Numbers, int]:
    """Merge *trees* into one, so that a single call finds the leaves of all trees.

    Returns:
        Three items: a function that returns the leaf index of each row of a block from `tile_rows`, the
        values of the leaves, and the number of original trees.
    """
    states = [tree.__getstate__() for tree in trees]
    tree_nodes = [state["nodes"] for state in states]
    inner = [nodes["left_child"] != _NO_CHILD for nodes in tree_nodes]
    # Half of the nodes of a fully grown tree are leaves, with few different values. Compare these bit by bit.
    leaf_values = np.concatenate([tree.value[~mask] for tree, mask in zip(trees, inner, strict=True)])
    bits = leaf_values.reshape(len(leaf_values), -1).view(f"V{leaf_values[0].nbytes}")[:, 0]
    _, first, numbers = np.unique(bits, return_index=True, return_inverse=True)
    leaves = np.split(numbers, np.cumsum([np.count_nonzero(~mask) for mask in inner])[:-1])
    nodes = merge_trees(tree_nodes, inner, trees[0].n_features, _FIELDS, leaves)
    values = np.zeros((len(nodes), *leaf_values.shape[1:]))
    values[-len(first) :] = leaf_values[first]
    merged = type(trees[0])(trees[0].n_features + 1, trees[0].n_classes, trees[0].n_outputs)
    merged.__setstate__(
        {
            "max_depth": max(state["max_depth"] for state in states) + len(trees),
            "node_count": len(nodes),
            "nodes": nodes,
            "values": values,
        }
    )
    return merged.apply, merged.value if merged.n_outputs > 1 else merged.value[:, 0], len(trees)
