"""Count the requests of the last hour by minute."""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from time import perf_counter

import msgspec

from ..flow.timing import Timing
from ..prometheus import Cells, MetricValues

__all__ = ["MINUTES", "RecentRequests", "Ring", "TrafficReport", "VersionTraffic", "estimate_quantile"]

MINUTES = 60
_NAME = "recent_requests"
_DURATIONS = 4
"""Index of the histogram in a slot."""
_PHASES = ("auth", "checks", "cache", "model", "encode")


class VersionTraffic(msgspec.Struct):
    """Requests to one version of a deployment, in each minute.

    Attributes:
        version: Version of the model; empty for requests that were rejected before a model was chosen.
        answered: Number of requests with a prediction.
        rejected: Number of responses with a status from 400 to 499.
        failed: Number of responses with a status of 500 or more.
        cancelled: Number of requests whose caller disconnected before the response.
        median, p95: Median and 95th percentile of the durations of answered requests in seconds, estimated
            from a histogram; None in minutes without answered requests.
    """

    version: str
    answered: list[int]
    rejected: list[int]
    failed: list[int]
    cancelled: list[int]
    median: float | None
    p95: float | None


class TrafficReport(msgspec.Struct):
    """Requests to a deployment in the last hour.

    Attributes:
        deployment: Deployment name.
        start: Start of the first minute, in seconds since the epoch. The last minute is the current one.
        shared: True if the report covers all running processes of this machine, False if it covers this
            process.
        versions: Requests to each version.
        median, p95: Durations in each minute, for all versions together; see `VersionTraffic`.
        measured: Number of answered requests whose phases were measured. Each process measures one request
            per second, and in addition those with ``Prefer: server-timing`` or an OpenTelemetry span.
        phases: Mean duration of each phase of the measured requests, in seconds; see `ServerTiming`.
    """

    deployment: str
    start: float
    shared: bool
    versions: list[VersionTraffic]
    median: list[float | None]
    p95: list[float | None]
    measured: int
    phases: dict[str, float]


class Ring:
    """Ring buffer that counts the requests to one version, with a slot for each minute of the last hour.

    Not thread-safe.

    A slot contains its minute, the numbers of rejected, failed and cancelled requests, a histogram of the
    durations of answered requests, and, for the requests whose phases were measured, their number and the
    total duration of each phase. Minutes are counted on the clock of `time.perf_counter`, which all processes
    of a machine share and which never goes back.

    Args:
        cells: Values of the slots.
    """

    __slots__ = ("_cells", "_end", "_size", "_start")

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._size = len(cells) // MINUTES
        self._start, self._end = 0, 0.0

    def count(self, now: float, status: int | None, bucket: int, timing: Timing | None) -> None:
        """Count a finished request.

        Args:
            now: Time on the clock of `time.perf_counter`.
            status: Status of the response; None if the caller disconnected before the response.
            bucket: Index of the histogram bucket for the duration.
            timing: Durations of the phases; None if they were not measured.
        """
        if now >= self._end:
            self._begin_minute(now)
        if status is None or status >= 400:
            self._cells[self._start + (3 if status is None else 1 if status < 500 else 2)] += 1
            return
        self._cells[self._start + _DURATIONS + bucket] += 1
        if timing is not None and timing.phases:
            self._count_phases(timing, now)

    def _begin_minute(self, now: float) -> None:
        minute = now // 60
        self._start, self._end = int(minute) % MINUTES * self._size, (minute + 1) * 60
        # Readers in other processes ignore a slot with a negative minute.
        self._cells[self._start] = -1
        for index in range(self._start + 1, self._start + self._size):
            self._cells[index] = 0
        self._cells[self._start] = minute

    def _count_phases(self, timing: Timing, now: float) -> None:
        start = self._start + self._size - len(_PHASES)
        self._cells[start - 1] += 1
        last, _, ended = timing.phases[-1]
        for phase, began, end in (*timing.phases, ("encode", ended, ended if last == "encode" else now)):
            self._cells[start + _PHASES.index(phase)] += end - began


class RecentRequests:
    """Counts of the last hour's requests, by deployment and version. Each version takes 13 kB of memory.

    Args:
        values: Storage of the counts.
        bounds: Upper bounds of the duration buckets, in seconds.
    """

    def __init__(self, values: MetricValues, bounds: Sequence[float]) -> None:
        self._values = values
        self._bounds = bounds
        self._measured = _DURATIONS + len(bounds) + 1
        self._size = self._measured + 1 + len(_PHASES)

    def allocate(self, deployment: str, version: str) -> Ring:
        """Return a new ring for a version. It is discarded when the process ends."""
        return Ring(self._values.allocate(_NAME, (deployment, version), MINUTES * self._size, gauge=True))

    def report(self, deployment: str, *, shared: bool) -> TrafficReport:
        """Return a report of the requests to a deployment in the last hour.

        Args:
            deployment: Deployment name.
            shared: Whether the storage contains the counts of several processes.
        """
        now = perf_counter()
        first = now // 60 - MINUTES + 1
        slots: dict[str, list[list[float]]] = {}
        for labels, values in self._values.read_parts(_NAME):
            if labels[0] == deployment:
                minutes = slots.setdefault(labels[1], [[0.0] * self._size for _ in range(MINUTES)])
                self._add_recent(minutes, values, first)
        by_minute = [_add(parts) for parts in zip(*slots.values(), strict=True)] or [
            [0.0] * self._size
        ] * MINUTES
        measured, *phases = _add(by_minute)[self._measured :]
        return TrafficReport(
            deployment,
            time.time() - now % 60 - 60 * (MINUTES - 1),
            shared,
            [self._version(version, minutes) for version, minutes in slots.items() if any(map(any, minutes))],
            [self._quantile(slot, 0.5) for slot in by_minute],
            [self._quantile(slot, 0.95) for slot in by_minute],
            int(measured),
            dict(zip(_PHASES, (seconds / measured for seconds in phases), strict=True)) if measured else {},
        )

    def _add_recent(self, minutes: list[list[float]], values: Sequence[float], first: float) -> None:
        """Add the counts in the slots of the last hour to *minutes*.

        *first* is the number of the first minute.
        """
        for start in range(0, len(values), self._size):
            index = int(values[start] - first)
            if 0 <= index < MINUTES:
                slot = [0.0, *values[start + 1 : start + self._size]]
                minutes[index] = _add([minutes[index], slot])

    def _version(self, version: str, minutes: Sequence[Sequence[float]]) -> VersionTraffic:
        answered = [int(sum(slot[_DURATIONS : self._measured])) for slot in minutes]
        rejected, failed, cancelled = ([int(slot[index]) for slot in minutes] for index in (1, 2, 3))
        hour = _add(minutes)
        median, p95 = self._quantile(hour, 0.5), self._quantile(hour, 0.95)
        return VersionTraffic(version, answered, rejected, failed, cancelled, median, p95)

    def _quantile(self, slot: Sequence[float], share: float) -> float | None:
        return estimate_quantile(self._bounds, slot[_DURATIONS : self._measured], share)


def estimate_quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """Estimate a quantile from a histogram. Return None if the histogram is empty.

    Values are assumed to be evenly distributed in their bucket. Values above the last bound count as the last
    bound.

    Args:
        bounds: Upper bounds of the buckets, ascending.
        counts: Number of values in each bucket. The last bucket counts the values above the last bound.
        share: Share of the values that the quantile exceeds, from 0 to 1; 0.5 for the median.
    """
    totals = list(accumulate(counts))
    if not totals[-1]:
        return None
    wanted = share * totals[-1]
    index = bisect_left(totals, wanted)
    if index == len(bounds):
        return bounds[-1]
    low, below = (bounds[index - 1], totals[index - 1]) if index else (0.0, 0.0)
    return low + (bounds[index] - low) * (wanted - below) / counts[index]


def _add(parts: Iterable[Sequence[float]]) -> list[float]:
    return [sum(values) for values in zip(*parts, strict=True)]
