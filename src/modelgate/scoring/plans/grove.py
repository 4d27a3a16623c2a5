"""Many trees as one, so that a single call of scikit-learn's compiled walk goes through all of them.

A call costs as much as walking a row through twenty trees, and a forest makes hundreds. In a grove the
trees stand under a root of its own, whose nodes ask for one more column: the number of the tree. A row
is repeated for each tree, with that number, and comes to the leaf it comes to in that tree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .parts import Numbers

__all__ = ["LARGE", "MOST_NODES", "Fields", "in_order", "planted", "repeated"]

MOST_NODES = 100_000
"""A grove keeps its trees a second time: up to here 7 MB. In larger ones the walk costs more than the calls."""

LARGE = 64
"""From so many rows on tree by tree is faster: a repeated row is a copy."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What a kind of tree calls the fields of its nodes."""

    left: str
    right: str
    column: str
    threshold: str


def planted(
    trees: Sequence[npt.NDArray[Any]], inner: Sequence[npt.NDArray[np.bool_]], column: int, fields: Fields
) -> npt.NDArray[Any]:
    """The nodes of all *trees* under one root.

    Args:
        trees: the nodes of each, at least one tree.
        inner: which of them are no leaves.
        column: the place of the number of the tree.
        fields: of the nodes.
    """
    starts = np.cumsum([len(trees) - 1, *map(len, trees)])
    nodes = np.concatenate([np.zeros(len(trees) - 1, trees[0].dtype), *trees])
    for start, within in zip(starts, inner, strict=False):
        own = nodes[start : start + len(within)]
        for side in (fields.left, fields.right):
            own[side][within] += own[side].dtype.type(start)
    free = iter(range(1, len(trees) - 1))

    def grow(at: int, first: int, last: int) -> None:
        """Let the node *at* lead to the trees from *first* to before *last*."""
        middle = (first + last) // 2
        nodes[fields.column][at], nodes[fields.threshold][at] = column, middle - 0.5
        for side, begin, end in ((fields.left, first, middle), (fields.right, middle, last)):
            to = int(starts[begin]) if end - begin == 1 else next(free)
            nodes[side][at] = to
            if end - begin > 1:
                grow(to, begin, end)

    if len(trees) > 1:
        grow(0, 0, len(trees))
    return nodes


def repeated(block: npt.NDArray[Any], trees: int) -> npt.NDArray[Any]:
    """(trees x rows, columns + 1): all rows for the first tree, all for the second, …"""
    rows, columns = block.shape
    out = np.empty((trees, rows, columns + 1), dtype=block.dtype)
    out[:, :, :-1] = block
    out[:, :, -1] = np.arange(trees)[:, None]
    return out.reshape(trees * rows, columns + 1)


def in_order(start: Any, parts: Numbers) -> Numbers:
    """*start* + the first of *parts* + the second …, in this order: ``sum`` would add in another."""
    sums = np.empty((len(parts) + 1, *parts.shape[1:]))
    sums[0], sums[1:] = start, parts
    total: Numbers = np.add.accumulate(sums, axis=0, out=sums)[-1]
    return total
