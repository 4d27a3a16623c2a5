"""Interface of the storage for drift counts, and the storage in memory."""

import threading
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from ..flow.fork_safety import reset_after_fork
from .drift_bins import Reference
from .drift_statistics import Window

__all__ = ["DriftStorage", "MemoryDriftStorage", "ModelKey", "MonitoredModel", "add_parts"]


class ModelKey(NamedTuple):
    """Identity of a model. If a version is trained again under the same name, it has another digest.

    Attributes:
        deployment: Deployment name.
        version: Version of the model.
        digest: Digest of the model's training counts.
    """

    deployment: str
    version: str
    digest: str


class MonitoredModel(msgspec.Struct):
    """Stored counts of a model.

    Attributes:
        key: Identity of the model.
        reference: Training counts.
        baseline: First window with enough predictions; None until there is one.
        buckets: Counts of all processes in consecutive periods. The oldest period is first.
    """

    key: ModelKey
    reference: Reference
    baseline: Window | None = None
    buckets: list[Window] = []


class DriftStorage(Protocol):
    """Interface of a storage for drift counts.

    The counts of a period may consist of parts, for example one per process.
    """

    def save(self, key: ModelKey, reference: Reference, bucket: Window, part: str) -> None:
        """Store one part of the counts of a period. Replace the part if it is already stored.

        Args:
            key: Identity of the model.
            reference: Training counts.
            bucket: Period, and counts of the part.
            part: Unique id of the part.
        """

    def load(self, deployment: str, version: str | None = None) -> list[MonitoredModel]:
        """Return the models of a deployment with the counts of all processes. The newest model is last.

        Args:
            deployment: Deployment name.
            version: Version of the models to return; None for all.
        """

    def set_baseline(self, key: ModelKey, baseline: Window) -> None:
        """Store *baseline*, unless the model already has one."""

    def claim(self, key: ModelKey, subject: str, since: float, end: float) -> bool:
        """Record an alarm, and return whether this process is the one that may report it.

        The result is False if an alarm with the same *subject* ended after *since*. Such an alarm reports the
        same drift, even if its windows are different: when the oldest period is deleted, the other periods
        may be joined into different windows.

        Args:
            key: Identity of the model.
            subject: Measure and column of the alarm.
            since: Start of the drift.
            end: End of the last window with drift.
        """

    def prune(self, periods: int) -> None:
        """Delete the counts and alarms that are older than the newest *periods* periods.

        Periods are counted back from the newest stored period, not from the current time. Otherwise, a clock
        that is wrong for a moment could delete everything.
        """

    def close(self) -> None:
        """Close the connections. They are reopened on demand."""


def add_parts(parts: Iterable[Window]) -> list[Window]:
    """Add up the parts of each period, and return one window per period. The oldest window is first."""
    windows: dict[float, Window] = {}
    for part in sorted(parts, key=lambda each: each.start):
        window = windows.get(part.start)
        counts = part.counts if window is None else window.counts + part.counts
        windows[part.start] = Window(part.start, part.end, counts)
    return list(windows.values())


class MemoryDriftStorage:
    """Storage in the memory of this process. A forked child starts without counts.

    A period has several parts if the clock was set back.
    """

    def __init__(self) -> None:
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[ModelKey, MonitoredModel] = {}
        self._parts: dict[ModelKey, dict[str, Window]] = {}
        self._alarms: dict[tuple[ModelKey, str], float] = {}

    def save(self, key: ModelKey, reference: Reference, bucket: Window, part: str) -> None:
        with self._lock:
            model = self._models.setdefault(key, MonitoredModel(key, reference))
            parts = self._parts.setdefault(key, {})
            parts[part] = bucket
            model.buckets = add_parts(parts.values())

    def load(self, deployment: str, version: str | None = None) -> list[MonitoredModel]:
        with self._lock:
            models = [
                model
                for key, model in self._models.items()
                if key.deployment == deployment and version in (None, key.version)
            ]
            return sorted(map(msgspec.structs.replace, models), key=lambda model: model.buckets[-1].start)

    def set_baseline(self, key: ModelKey, baseline: Window) -> None:
        with self._lock:
            model = self._models.get(key)
            if model is not None and model.baseline is None:
                model.baseline = baseline

    def claim(self, key: ModelKey, subject: str, since: float, end: float) -> bool:
        with self._lock:
            if self._alarms.get((key, subject), since) > since:
                return False
            self._alarms[key, subject] = end
            return True

    def prune(self, periods: int) -> None:
        with self._lock:
            starts = {each.start for parts in self._parts.values() for each in parts.values()}
            before = min(sorted(starts)[-periods:], default=0.0)
            for key, model in list(self._models.items()):
                parts = {part: each for part, each in self._parts[key].items() if each.start >= before}
                self._parts[key], model.buckets = parts, add_parts(parts.values())
                if not parts:
                    del self._models[key], self._parts[key]
            self._alarms = {alarm: end for alarm, end in self._alarms.items() if end >= before}

    def close(self) -> None:
        pass
