"""Counts and sums, told in the text format of Prometheus (version 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["CONTENT_TYPE", "Family", "Histogram", "Kind", "Labels", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """How many values there were up to each of some *bounds*, and their sum.

    Attributes:
        counts: of the values up to a bound and above the one before, and of those above all; whoever
            has a value counts it there, under a lock.
        sum: of the values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def copy(self) -> "Histogram":
        """What was counted so far."""
        copy = Histogram(self.bounds)
        copy.add(self)
        return copy

    def add(self, other: "Histogram") -> None:
        """Count what another one, of the same bounds, has counted."""
        self.counts = [own + others for own, others in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


Labels: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class Family(NamedTuple):
    """What is counted under one name.

    Args:
        name: with its unit, and ``_total`` for a counter.
        kind: what it is.
        told: what it says, for people.
        labels: the names of its labels.
        values: by the values of the labels.
    """

    name: str
    kind: Kind
    told: str
    labels: Labels
    values: Mapping[Labels, float | Histogram]


def exposition(families: Iterable[Family]) -> str:
    """*families* as Prometheus reads them."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.told}"
    yield f"# TYPE {family.name} {family.kind}"
    for values, told in family.values.items():
        labels = [f'{name}="{_escaped(value)}"' for name, value in zip(family.labels, values, strict=True)]
        if isinstance(told, Histogram):
            yield from _buckets(family.name, labels, told)
        else:
            yield f"{family.name}{_braced(labels)} {told}"


def _buckets(name: str, labels: list[str], histogram: Histogram) -> Iterator[str]:
    bounds, totals = [*map("{:g}".format, histogram.bounds), "+Inf"], list(accumulate(histogram.counts))
    for bound, total in zip(bounds, totals, strict=True):
        limit = f'le="{bound}"'
        yield f"{name}_bucket{_braced([*labels, limit])} {total}"
    yield f"{name}_sum{_braced(labels)} {histogram.sum}"
    yield f"{name}_count{_braced(labels)} {totals[-1]}"


def _braced(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
