"""Merge trees into one tree, so that scikit-learn's compiled code is called once, not once per tree.

A forest makes hundreds of calls. The overhead of one call is about the time that a row takes to pass through
twenty trees.

In the merged tree, new nodes at the top select the original tree: they split on an additional column, which
contains the index of the tree. Each row is repeated once per tree, with the index of this tree in the
additional column. Each copy of the row reaches the same leaf that the row reaches in the original tree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Numbers

__all__ = [
    "LARGE",
    "MAX_NODES",
    "TreeFields",
    "merge_trees",
    "sequential_sum",
    "tile_rows",
]

MAX_NODES = 100_000
"""Largest number of nodes to merge. Their copy takes up to 7 MB. In larger forests, the calls matter less."""

LARGE = 64
"""Number of rows from which separate trees are faster, because merged trees need a copy of each row."""


@dataclass(frozen=True, slots=True)
class TreeFields:
    """Field names of the nodes in one of scikit-learn's implementations of trees."""

    left: str
    right: str
    column: str
    threshold: str


def merge_trees(
    trees: Sequence[npt.NDArray[Any]],
    inner: Sequence[npt.NDArray[np.bool_]],
    column: int,
    fields: TreeFields,
    leaves: Sequence[npt.NDArray[np.intp]] | None = None,
) -> npt.NDArray[Any]:
    """Return the nodes of all *trees* under one root.

    Args:
        trees: Nodes of each tree. At least one tree is required.
        inner: For each tree, a mask that is True for the inner nodes and False for the leaves.
        column: Index of the additional column, which contains the index of the tree.
        fields: Field names of the nodes.
        leaves: For each tree, an array that numbers its leaves, from 0. Leaves with the same number become
            one node, and these nodes come last. None to copy all leaves.
    """
    positions, end = list[npt.NDArray[np.intp]](), len(trees) - 1
    for is_inner in inner:
        copied = is_inner if leaves is not None else np.ones_like(is_inner)
        positions.append(np.cumsum(copied) + (end - 1))
        end += int(np.count_nonzero(copied))
    if leaves is not None:
        for position, is_inner, numbers in zip(positions, inner, leaves, strict=True):
            position[~is_inner] = end + numbers
        end += max(int(numbers.max()) for numbers in leaves) + 1
    nodes = np.zeros(end, trees[0].dtype)
    for tree, is_inner, position in zip(trees, inner, positions, strict=True):
        nodes[position] = tree
        for side in (fields.left, fields.right):
            nodes[side][position[is_inner]] = position[tree[side][is_inner]]
    starts = [position[0] for position in positions]
    unused = iter(range(1, len(trees) - 1))

    def connect(node: int, first: int, last: int) -> None:
        """Connect *node* to the trees from *first* up to, but not including, *last*."""
        middle = (first + last) // 2
        nodes[fields.column][node], nodes[fields.threshold][node] = column, middle - 0.5
        for side, start, stop in ((fields.left, first, middle), (fields.right, middle, last)):
            child = int(starts[start]) if stop - start == 1 else next(unused)
            nodes[side][node] = child
            if stop - start > 1:
                connect(child, start, stop)

    if len(trees) > 1:
        connect(0, 0, len(trees))
    return nodes


def tile_rows(block: npt.NDArray[Any], trees: int) -> npt.NDArray[Any]:
    """Repeat the rows of *block* for each tree, with the index of the tree as an additional column.

    Returns an array of shape (trees x rows, columns + 1).
    """
    rows, columns = block.shape
    out = np.empty((trees, rows, columns + 1), dtype=block.dtype)
    out[:, :, :-1] = block
    out[:, :, -1] = np.arange(trees)[:, None]
    return out.reshape(trees * rows, columns + 1)


def sequential_sum(start: Any, parts: Numbers) -> Numbers:
    """Add up *start* and *parts* from first to last. ``numpy.sum`` would use another order."""
    sums = np.empty((len(parts) + 1, *parts.shape[1:]))
    sums[0], sums[1:] = start, parts
    total: Numbers = np.add.accumulate(sums, axis=0, out=sums)[-1]
    return total
