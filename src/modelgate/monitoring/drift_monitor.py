"""Drift monitor, which compares the inputs and predictions of a model with its training data."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from urllib.parse import parse_qsl

import msgspec

from ..context import RequestContext
from ..errors import ConfigurationError, NotFound
from ..flow import Flow, run
from ..http import Request, Response
from ..http.routing import Route, RouteSpec
from ..prometheus import MetricFamily, MetricValues
from ..validation import require_positive_int, require_positive_seconds
from .drift_counter import AlarmCallback, DriftCounter
from .drift_judge import DriftAlarm, Judgement, PredictionCounts
from .drift_metrics import drift_metrics
from .drift_statistics import Assessment, Thresholds
from .drift_storage import DriftStorage, MemoryDriftStorage
from .prediction_hook import PredictionHook, PredictionRecord
from .prediction_log import PredictionLog
from .webhook import Webhook

__all__ = ["DriftMonitor"]

_FLUSH_INTERVAL = 10.0


class Period(msgspec.Struct):
    """Period from *start* up to *end*, in seconds since the epoch."""

    start: float
    end: float


class MonitoredVersion(msgspec.Struct):
    """Drift of a model version.

    Attributes:
        version: Version of the model.
        windows: Drift in the last windows, the oldest first. The last one may be incomplete.
        alarms: Drift in several consecutive windows.
        baseline: First complete window, with which the predictions of later windows are compared.
        predictions: Predictions in the last window; None if they are not monitored.
    """

    version: str
    windows: list[Assessment]
    alarms: list[DriftAlarm]
    baseline: Period | None
    predictions: PredictionCounts | None


class MonitorReport(msgspec.Struct):
    """Drift of the models of a deployment.

    The newest model is last. A measure is computed from at least *min_rows* values.
    """

    deployment: str
    min_rows: int
    models: list[MonitoredVersion]


class DriftMonitor(PredictionHook):
    """Drift monitor for ``Gate(on_prediction=…)``.

    The inputs of a model are compared with the training data in its package, and the predictions with those
    of its first window.

    Requests never wait for the monitor. Records are queued, and a background thread counts them. Rows are not
    stored. ``GET /deployments/{deployment}/monitor`` and the metrics report the results.

    Args:
        database: URL of a database in which all processes store their counts, such as
            ``"sqlite:///monitor.db"`` (extra ``sql``); None for the memory of this process.
        on_alarm: Function that receives a list of `DriftAlarm`, or URL to which alarms are sent as JSON with
            POST; None to only log alarms. If processes share a database, only one of them reports each alarm.
        window: Length of a window in seconds. Each window is compared with the training data. Choose a full
            cycle of the traffic, such as a day, because the hours of a day differ even without drift.
        min_rows: Minimum number of rows in a window. A window with fewer rows is joined with the next window.
        sustained: Number of consecutive windows with drift that raise an alarm.
        psi_threshold: Population stability index above which a column or the prediction has drifted.
        share_threshold: Share of unseen or out-of-range values, or change of the share of missing values,
            above which a column has drifted.
        ignore: Columns that are not monitored.
        max_queued_rows: Maximum number of rows that wait to be counted. Further rows are dropped, and
            reported by the metric ``modelgate_prediction_log_lost_rows_total``.
        clock: Function that returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: An option is invalid, or a package is missing.
    """

    def __init__(
        self,
        database: str | None = None,
        *,
        on_alarm: AlarmCallback | str | None = None,
        window: float = 86_400,
        min_rows: int = 500,
        sustained: int = 2,
        psi_threshold: float = 0.1,
        share_threshold: float = 0.05,
        ignore: Collection[str] = (),
        max_queued_rows: int = 50_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        require_positive_seconds("window", window)
        require_positive_int("min_rows", min_rows)
        require_positive_int("sustained", sustained)
        for option, value in (("psi_threshold", psi_threshold), ("share_threshold", share_threshold)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(f"{option} must be a number above 0 (got {value!r})")
        if isinstance(ignore, str):
            raise ConfigurationError(f"ignore must be a list of column names (got {ignore!r})")
        if isinstance(on_alarm, str):
            on_alarm = Webhook(on_alarm)
        if on_alarm is not None and not callable(on_alarm):
            raise ConfigurationError(f"on_alarm must be a function or a URL (got {on_alarm!r})")
        self._min_rows = min_rows
        thresholds = Thresholds(psi_threshold, share_threshold, min_rows)
        self._storage = _create_storage(database)
        self._counter = DriftCounter(
            self._storage, window, thresholds, sustained, frozenset(ignore), on_alarm, clock
        )
        self._log = PredictionLog(
            self._counter, max_queued_rows=max_queued_rows, flush_interval=_FLUSH_INTERVAL, name="drift"
        )

    def __call__(self, record: PredictionRecord) -> None:
        if not record.hypothetical:
            self._log(record)

    def attach(self, values: MetricValues) -> None:
        self._log.attach(values)

    def flush(self, timeout: float = 5.0) -> bool:
        """Count the queued records now. Return False if this takes longer than *timeout* seconds."""
        return self._log.flush(timeout)

    def close(self) -> None:
        self._log.close()
        self._storage.close()

    def judge(self, deployment: str, version: str | None = None) -> list[Judgement]:
        """Return the drift of each model of a deployment. The newest model is last. This call blocks.

        Args:
            deployment: Deployment name.
            version: Version of the models; None for all.

        Raises:
            StoreError: The database is unavailable.
        """
        return self._counter.judge(deployment, version)

    def routes(self) -> Iterable[Route]:
        spec = RouteSpec(
            "Inputs and predictions, compared with the training data",
            MonitorReport,
            query={"version": "Version of the model to report on. By default, all versions are reported"},
        )
        yield Route("GET", "/deployments/{deployment}/monitor", self._respond, action="monitor", spec=spec)

    def _respond(self, request: Request) -> Flow[Response]:
        context: RequestContext = request.context
        assert context.catalog is not None and context.deployment is not None
        if context.deployment not in context.catalog:
            raise NotFound
        version = dict(parse_qsl(request.query_string, keep_blank_values=True)).get("version")
        judgements = yield from run(self.judge, context.deployment, version)
        report = MonitorReport(context.deployment, self._min_rows, [*map(_describe, judgements)])
        return Response.json(msgspec.to_builtins(report))

    def families(self) -> Iterator[MetricFamily]:
        yield from self._log.families()
        yield from drift_metrics(self._counter.latest)


def _describe(judgement: Judgement) -> MonitoredVersion:
    return MonitoredVersion(
        judgement.key.version,
        judgement.assessments,
        judgement.alarms,
        None if judgement.baseline is None else Period(judgement.baseline.start, judgement.baseline.end),
        judgement.predictions,
    )


def _create_storage(database: str | None) -> DriftStorage:
    if database is None:
        return MemoryDriftStorage()
    if not isinstance(database, str):
        raise ConfigurationError(f"database must be a URL or None (got {type(database).__name__})")
    from .drift_tables import SQLDriftStorage

    return SQLDriftStorage(database)
