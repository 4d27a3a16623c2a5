"""Count predictions for drift monitoring, in a background thread."""

import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from ..errors import StoreError
from ..flow.fork_safety import reset_after_fork
from .drift_bins import DriftCounts, ModelBins
from .drift_judge import DriftAlarm, Judgement, judge
from .drift_statistics import Thresholds, Window
from .drift_storage import DriftStorage, ModelKey
from .prediction_hook import PredictionRecord

__all__ = ["AlarmCallback", "DriftCounter"]

logger = logging.getLogger("modelgate")

_HISTORY = 60
"""Number of periods for which counts are stored; see `DriftStorage.prune`."""

_MAX_MODELS = 200
"""Largest number of models whose counts and metrics are in memory."""

_MAX_UNSENT = 1000

AlarmCallback: TypeAlias = Callable[[Sequence[DriftAlarm]], object]


class DriftCounter:
    """Prediction writer that counts records for drift monitoring instead of storing them.

    Args:
        storage: Storage of the counts.
        window: Length in seconds of the periods in which rows are counted.
        thresholds: Thresholds above which a difference counts as drift.
        sustained: Number of consecutive windows with drift that raise an alarm.
        ignore: Columns that are not counted.
        on_alarm: Function that receives new alarms; None to only log them.
        clock: Function that returns the time in seconds since the epoch.

    Attributes:
        latest: Result of the last drift check of each model that has predicted recently.
    """

    def __init__(
        self,
        storage: DriftStorage,
        window: float,
        thresholds: Thresholds,
        sustained: int,
        ignore: Collection[str],
        on_alarm: AlarmCallback | None,
        clock: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._window = window
        self._thresholds = thresholds
        self._sustained = sustained
        self._ignore = ignore
        self._on_alarm = on_alarm
        self._clock = clock
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start without counts, also in a forked child.

        The parent stores the counts that were made before the fork.
        """
        self._bins: dict[tuple[str, str], ModelBins] = {}
        self._buckets: dict[tuple[ModelKey, float], DriftCounts] = {}
        self._parts: dict[tuple[ModelKey, float], str] = {}
        self._unsaved: dict[tuple[ModelKey, float], ModelBins] = {}
        self._unsent: list[DriftAlarm] = []
        self._pruned_at = 0.0
        self.latest: dict[ModelKey, Judgement] = {}

    def write(self, records: Sequence[PredictionRecord], _redact: Collection[str]) -> None:
        """Count *records*, and check their models for drift.

        If the database is unavailable, the counts are stored later. Alarms that cannot be sent are retried.
        """
        try:
            counted = self._count(records)
        except Exception as error:
            # The log then writes the records one by one, and leaves out those that cannot be counted.
            raise ValueError("the records do not fit the bins of their model") from error
        for name, (bins, counts) in counted.items():
            self._buckets[name] = self._buckets.get(name, DriftCounts()) + counts
            self._parts.setdefault(name, uuid.uuid4().hex)
            self._unsaved[name] = bins
        try:
            self._save()
            for deployment in {key.deployment for key, _ in counted}:
                self._raise_alarms(self.judge(deployment))
        except StoreError as error:
            logger.error("drift monitor: database unavailable: counts are stored later", exc_info=error)
        self._send()

    def judge(self, deployment: str, version: str | None = None) -> list[Judgement]:
        """Return the drift of each model of a deployment. The newest model is last.

        Args:
            deployment: Deployment name.
            version: Version of the models; None for all.

        Raises:
            StoreError: The database is unavailable.
        """
        now = self._clock()
        models = self._storage.load(deployment, version)
        return [judge(model, self._thresholds, self._sustained, now) for model in models]

    def _count(
        self, records: Sequence[PredictionRecord]
    ) -> dict[tuple[ModelKey, float], tuple[ModelBins, DriftCounts]]:
        groups: dict[tuple[ModelKey, float], tuple[ModelBins, list[PredictionRecord]]] = {}
        for record in records:
            if record.prediction.forecast is not None:
                continue  # The rows are the history of a series, which later requests repeat.
            bins = self._find_bins(record)
            key = ModelKey(record.deployment, record.version, bins.digest)
            start = record.time // self._window * self._window
            groups.setdefault((key, start), (bins, []))[1].append(record)
        return {name: (bins, bins.count(group)) for name, (bins, group) in groups.items()}

    def _find_bins(self, record: PredictionRecord) -> ModelBins:
        name = record.deployment, record.version
        bins = self._bins.pop(name, None)
        if bins is None or bins.training is not record.training:
            bins = ModelBins(record, self._ignore)
        self._bins[name] = bins
        if len(self._bins) > _MAX_MODELS:
            del self._bins[next(iter(self._bins))]
        return bins

    def _save(self) -> None:
        for (key, start), bins in list(self._unsaved.items()):
            bucket = Window(start, start + self._window, self._buckets[key, start])
            self._storage.save(key, bins.reference, bucket, self._parts[key, start])
            del self._unsaved[key, start]
        now = self._clock()
        if abs(now - self._pruned_at) >= self._window:
            self._pruned_at = now
            self._storage.prune(_HISTORY)
            recent = now - 2 * self._window
            self._buckets = {name: counts for name, counts in self._buckets.items() if name[1] >= recent}
            self._parts = {name: part for name, part in self._parts.items() if name[1] >= recent}

    def _raise_alarms(self, judgements: Sequence[Judgement]) -> None:
        for judgement in judgements:
            self.latest.pop(judgement.key, None)
            self.latest[judgement.key] = judgement
            if judgement.baseline is not None:
                self._storage.set_baseline(judgement.key, judgement.baseline)
            for alarm in judgement.new_alarms:
                subject = _describe_subject(alarm)
                if self._storage.claim(judgement.key, subject, alarm.since, alarm.end):
                    _log_alarm(alarm, subject)
                    self._unsent.append(alarm)
        while len(self.latest) > _MAX_MODELS:
            del self.latest[next(iter(self.latest))]

    def _send(self) -> None:
        if self._on_alarm is None or not self._unsent:
            self._unsent = []
            return
        try:
            self._on_alarm(list(self._unsent))
            self._unsent = []
        except Exception as error:
            self._unsent = self._unsent[-_MAX_UNSENT:]
            logger.error("drift monitor: cannot send alarms: retrying later", exc_info=error)


def _describe_subject(alarm: DriftAlarm) -> str:
    return f"{alarm.measure} of {'the prediction' if alarm.column is None else f'column {alarm.column}'}"


def _log_alarm(alarm: DriftAlarm, subject: str) -> None:
    logger.warning(
        "deployment %s: drift of version %s: %s is %.3g",
        alarm.deployment,
        alarm.version,
        subject,
        alarm.value,
    )
