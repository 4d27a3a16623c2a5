"""Decision trees and forests, through scikit-learn's compiled trees."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...schema import Table
from .grove import LARGE, MOST_NODES, Fields, in_order, planted, repeated
from .links import labels_of
from .parts import Answer, Answering, Numbers, Reading, Source, predictor, refuse_infinite, refuse_nonfinite

__all__ = ["reading_float32"]

_Leaves: TypeAlias = Callable[[npt.NDArray[Any]], Numbers]
"""(rows, outputs, classes) of what the trees say."""

_FIELDS = Fields("left_child", "right_child", "feature", "threshold")
_NO_CHILD = -1


def reading_float32(step: Any, source: Source, *, nulls: bool) -> Reading:
    """The rows as trees have them.

    Args:
        step: the estimator.
        source: what it is given.
        nulls: whether it takes NaN. It never does in a sparse matrix.
    """
    check = refuse_infinite if nulls and not source.sparse else refuse_nonfinite
    return partial(_read_float32, source.numbers(step, sparse=True), check)


def _read_float32(read: Reading, check: Callable[[Any], None], table: Table) -> npt.NDArray[Any]:
    block = read(table).astype(np.float32, order="C")
    check(block)
    return block


@predictor("sklearn.tree._classes", "DecisionTreeClassifier", "ExtraTreeClassifier")
def _tree_classifier(step: Any, source: Source) -> Answering:
    return _classified(step, source, step, step.tree_.predict)


@predictor("sklearn.tree._classes", "DecisionTreeRegressor", "ExtraTreeRegressor")
def _tree_regressor(step: Any, source: Source) -> Answering:
    return _valued(step, source, step, step.tree_.predict)


@predictor("sklearn.ensemble._forest", "RandomForestClassifier", "ExtraTreesClassifier")
def _forest_classifier(step: Any, source: Source) -> Answering:
    return _classified(step, source, step.estimators_[0], _mean(step))


@predictor("sklearn.ensemble._forest", "RandomForestRegressor", "ExtraTreesRegressor")
def _forest_regressor(step: Any, source: Source) -> Answering:
    return _valued(step, source, step.estimators_[0], _mean(step))


def _takes_nulls(tree: Any) -> bool:
    return bool(tree.__sklearn_tags__().input_tags.allow_nan) and tree.monotonic_cst is None


def _classified(step: Any, source: Source, tree: Any, leaves: _Leaves) -> Answering:
    read = reading_float32(step, source, nulls=_takes_nulls(tree))
    if step.n_outputs_ == 1:
        return partial(_classify, read, leaves, step.classes_)
    return partial(_classify_each, read, leaves, step.classes_)


def _classify(read: Reading, leaves: _Leaves, classes: npt.NDArray[Any], table: Table) -> Answer:
    told = leaves(read(table))
    return labels_of(classes, told), told


def _classify_each(read: Reading, leaves: _Leaves, classes: list[npt.NDArray[Any]], table: Table) -> Answer:
    shares = leaves(read(table))
    told = [shares[:, at, : len(labels)] for at, labels in enumerate(classes)]
    values = np.empty((len(shares), len(classes)), dtype=classes[0].dtype)
    for at, labels in enumerate(classes):
        values[:, at] = labels_of(labels, told[at])
    return values, told


def _valued(step: Any, source: Source, tree: Any, leaves: _Leaves) -> Answering:
    read = reading_float32(step, source, nulls=_takes_nulls(tree))
    if step.n_outputs_ == 1:
        return lambda table: (leaves(read(table))[:, 0], None)
    return lambda table: (leaves(read(table))[:, :, 0], None)


def _mean(forest: Any) -> _Leaves:
    trees = [member.tree_ for member in forest.estimators_]
    each = partial(_mean_tree_by_tree, [tree.predict for tree in trees])
    if sum(tree.node_count for tree in trees) > MOST_NODES:
        return each
    return partial(_mean_at_once, *_grove(trees), each)


def _mean_tree_by_tree(trees: Sequence[_Leaves], block: npt.NDArray[Any]) -> Numbers:
    total = 0.0 + trees[0](block)
    for tree in trees[1:]:
        total += tree(block)
    total /= len(trees)
    return total


def _mean_at_once(
    apply: Callable[[Any], Any], values: Numbers, trees: int, each: _Leaves, block: npt.NDArray[Any]
) -> Numbers:
    if len(block) >= LARGE:
        return each(block)
    leaves = values.take(apply(repeated(block, trees)), axis=0)
    return in_order(0.0, leaves.reshape(trees, len(block), *values.shape[1:])) / trees


def _grove(trees: Sequence[Any]) -> tuple[Callable[[Any], Any], Numbers, int]:
    """The leaf of each row in each tree, what each leaf says, and the number of trees."""
    states = [tree.__getstate__() for tree in trees]
    nodes = [state["nodes"] for state in states]
    inner = [own["left_child"] != _NO_CHILD for own in nodes]
    whole = planted(nodes, inner, trees[0].n_features, _FIELDS)
    # A tree of its own class. It is asked for leaves alone, what they say is kept beside it.
    grove = type(trees[0])(trees[0].n_features + 1, np.ones(1, dtype=np.intp), 1)
    grove.__setstate__(
        {
            "max_depth": max(state["max_depth"] for state in states) + len(trees),
            "node_count": len(whole),
            "nodes": whole,
            "values": np.zeros((len(whole), 1, 1)),
        }
    )
    values = [tree.value if tree.n_outputs > 1 else tree.value[:, 0] for tree in trees]
    return (
        grove.apply,
        np.concatenate([np.zeros((len(trees) - 1, *values[0].shape[1:])), *values]),
        len(trees),
    )
