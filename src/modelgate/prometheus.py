"""Metrics in the text format of Prometheus (version 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["CONTENT_TYPE", "Histogram", "Kind", "Labels", "MetricFamily", "render_metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Histogram of observed values. Not thread-safe: update it under a lock.

    Args:
        bounds: Upper bounds of the buckets, ascending and inclusive.

    Attributes:
        counts: Number of values in each bucket. The last item counts the values above the last bound.
        sum: Sum of the values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def copy(self) -> "Histogram":
        """Return a copy of the histogram."""
        copy = Histogram(self.bounds)
        copy.add(self)
        return copy

    def add(self, other: "Histogram") -> None:
        """Add the values of another histogram with the same bounds."""
        self.counts = [count + more for count, more in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)


Labels: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class MetricFamily(NamedTuple):
    """Metric with a value for each combination of its labels.

    Args:
        name: Name, which includes the unit, and ends in ``_total`` for a counter.
        kind: Type of the metric.
        help: Description, shown in the ``# HELP`` line.
        labels: Names of the labels.
        values: Values or histograms, by label values.
    """

    name: str
    kind: Kind
    help: str
    labels: Labels
    values: Mapping[Labels, float | Histogram]


def render_metrics(families: Iterable[MetricFamily]) -> str:
    """Return *families* in the text format of Prometheus."""
    return "".join(f"{line}\n" for family in families for line in _render_family(family))


def _render_family(family: MetricFamily) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for label_values, value in family.values.items():
        pairs = zip(family.labels, label_values, strict=True)
        labels = [f'{name}="{_escape(label_value)}"' for name, label_value in pairs]
        if isinstance(value, Histogram):
            yield from _render_histogram(family.name, labels, value)
        else:
            yield f"{family.name}{_in_braces(labels)} {value}"


def _render_histogram(name: str, labels: list[str], histogram: Histogram) -> Iterator[str]:
    bounds, totals = [*map("{:g}".format, histogram.bounds), "+Inf"], list(accumulate(histogram.counts))
    for bound, total in zip(bounds, totals, strict=True):
        bucket = f'le="{bound}"'
        yield f"{name}_bucket{_in_braces([*labels, bucket])} {total}"
    yield f"{name}_sum{_in_braces(labels)} {histogram.sum}"
    yield f"{name}_count{_in_braces(labels)} {totals[-1]}"


def _in_braces(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
