"""Metrics and their rendering in the text format of Prometheus (version 0.0.4)."""

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from os import getpid
from typing import Literal, NamedTuple, Protocol, TypeAlias

__all__ = [
    "CONTENT_TYPE",
    "Cells",
    "Histogram",
    "Kind",
    "Labels",
    "LocalValues",
    "MetricFamily",
    "MetricValues",
    "Totals",
    "create_cells",
    "current_values",
    "render_metrics",
]

_MAX_VERSIONS = 50
"""Maximum number of model versions of each deployment in the metrics."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


Labels: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Cells: TypeAlias = "memoryview[float]"
"""Values of one metric with one set of labels, as float64."""
Totals: TypeAlias = dict[str, dict[Labels, list[float]]]
"""Values by the name under which they are stored, and by labels."""


class MetricValues(Protocol):
    """Storage for the values of metrics.

    If a value belongs to a deployment, its first labels are the deployment and the version of the model.
    """

    def allocate(self, name: str, labels: Labels, size: int = 1, *, gauge: bool = False) -> Cells:
        """Return the values of this process for *name* and *labels*. They are zero at first.

        Args:
            name: Name under which the values are stored.
            labels: Values of the labels.
            size: Number of values.
            gauge: Whether the values are dropped when the process ends.
        """

    def read(self) -> Totals:
        """Return all values, summed over the processes that share the storage."""

    def read_parts(self, name: str) -> Iterable[tuple[Labels, Sequence[float]]]:
        """Return the labels and values under *name*, separately for each process that has not ended."""

    def discard(self, deployments: Container[str]) -> None:
        """Release the memory of values that belong to deployments other than *deployments*.

        Values without labels, or whose first label is empty, belong to no deployment.
        """


class LocalValues:
    """Storage for the values of metrics in the memory of this process. A forked child starts without values."""

    def __init__(self) -> None:
        self._pid = getpid()
        self._cells: dict[tuple[str, Labels], Cells] = {}

    def allocate(self, name: str, labels: Labels, size: int = 1, *, gauge: bool = False) -> Cells:  # noqa: ARG002
        # Checked on each call: in a forked child, other objects may allocate values before this one is reset.
        if self._pid != getpid():
            self._pid, self._cells = getpid(), {}
        return self._cells.setdefault((name, labels), create_cells(size))

    def read(self) -> Totals:
        totals: Totals = {}
        for (name, labels), cells in list(self._cells.items()):
            totals.setdefault(name, {})[labels] = list(cells)
        return totals

    def read_parts(self, name: str) -> Iterable[tuple[Labels, Sequence[float]]]:
        return [
            (labels, list(cells)) for (stored, labels), cells in list(self._cells.items()) if stored == name
        ]

    def discard(self, deployments: Container[str]) -> None:
        for key in list(self._cells):
            if key[1] and key[1][0] and key[1][0] not in deployments:
                del self._cells[key]


def create_cells(size: int) -> Cells:
    """Return an array of *size* zeros."""
    cells: Cells = memoryview(bytearray(8 * size)).cast("d")
    return cells


class Histogram:
    """Histogram of observed values. Not thread-safe: update it under a lock.

    Args:
        bounds: Upper bounds of the buckets, ascending and inclusive.
        cells: Number of values in each bucket, followed by the sum of the values. The last bucket counts the
            values above the last bound. None for an empty histogram.
    """

    __slots__ = ("bounds", "cells")

    def __init__(self, bounds: tuple[float, ...], cells: "Cells | list[float] | None" = None) -> None:
        self.bounds = bounds
        self.cells = create_cells(len(bounds) + 2) if cells is None else cells

    def observe(self, value: float) -> None:
        """Count *value*."""
        self.cells[bisect_left(self.bounds, value)] += 1
        self.cells[-1] += value

    def add(self, other: "Histogram") -> None:
        """Add the values of another histogram with the same bounds."""
        for index, value in enumerate(other.cells):
            self.cells[index] += value

    @property
    def counts(self) -> list[int]:
        """Number of values in each bucket."""
        return [int(count) for count in self.cells[:-1]]

    @property
    def sum(self) -> float:
        """Sum of the values."""
        return self.cells[-1]

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)


class MetricFamily(NamedTuple):
    """Metric with a value for each combination of label values.

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


def current_values(
    values: Mapping[Labels, list[float]], deployments: Container[str]
) -> dict[Labels, list[float]]:
    """Return *values* without those of unknown deployments and of old model versions.

    Of each deployment, the 50 newest model versions remain. Otherwise the metrics would grow with each version.

    Args:
        values: Values by labels, oldest first. The first labels are the deployment and the model version.
        deployments: Names of the known deployments.
    """
    newest: dict[str, dict[str, None]] = {}
    for labels in reversed(list(values)):
        deployment, version = labels[:2]
        versions = newest.setdefault(deployment, {})
        if len(versions) < _MAX_VERSIONS:
            versions[version] = None
    return {
        labels: cells
        for labels, cells in values.items()
        if (not labels[0] or labels[0] in deployments) and labels[1] in newest[labels[0]]
    }


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
            yield f"{family.name}{_in_braces(labels)} {_format(value)}"


def _render_histogram(name: str, labels: list[str], histogram: Histogram) -> Iterator[str]:
    bounds, totals = [*map("{:g}".format, histogram.bounds), "+Inf"], list(accumulate(histogram.counts))
    for bound, total in zip(bounds, totals, strict=True):
        bucket = f'le="{bound}"'
        yield f"{name}_bucket{_in_braces([*labels, bucket])} {total}"
    yield f"{name}_sum{_in_braces(labels)} {histogram.sum}"
    yield f"{name}_count{_in_braces(labels)} {totals[-1]}"


def _format(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _in_braces(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
