"""Log of predictions and of their actual outcomes, which callers report later."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..context import RequestContext
from ..errors import ConfigurationError, InvalidInput, NotFound
from ..flow import Flow, run
from ..http import Request, Response
from ..http.body import read_json
from ..http.routing import Route, RouteSpec
from ..prometheus import MetricFamily, MetricValues
from ..schema.coerce import to_json_value
from ..validation import require_positive_int
from .outcome_rows import Outcome, ScoredRow, to_association
from .outcome_statistics import (
    ArmComparison,
    VersionAccuracy,
    compare_arms,
    measure_accuracy,
)
from .prediction_hook import PredictionHook, PredictionRecord
from .prediction_log import PredictionLog

if TYPE_CHECKING:
    from .outcome_tables import OutcomeTables

__all__ = ["MIN_OUTCOMES", "AccuracyReport", "OutcomeLog", "read_accuracy"]

logger = logging.getLogger("modelgate")

MIN_OUTCOMES = 100
"""Default minimum number of outcomes for which accuracy is reported."""

_MAX_OUTCOMES = 10_000
_LARGEST = 2**53
_DAY = 86_400.0
_COLUMN = "column:"


class Outcomes(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a request that reports outcomes."""

    outcomes: list[Outcome]


_DECODER = msgspec.json.Decoder(Outcomes)


class StoredOutcomes(msgspec.Struct):
    """Result of a request that reports outcomes. Positions are counted from 0 in the request.

    Attributes:
        stored: Number of stored outcomes.
        unknown: Positions of outcomes that belong to no stored prediction.
        mismatched: Positions of outcomes with another type than their prediction.
    """

    stored: int
    unknown: list[int]
    mismatched: list[int]


class AccuracyReport(msgspec.Struct):
    """Accuracy of a deployment.

    Attributes:
        deployment: Deployment name.
        versions: Accuracy of each version. The oldest version is first.
        arms: Comparisons of versions that served at the same time.
    """

    deployment: str
    versions: list[VersionAccuracy]
    arms: list[ArmComparison]


class OutcomeLog(PredictionHook):
    """Log of predictions and their outcomes, for ``Gate(on_prediction=…)``.

    Send actual outcomes with ``POST /deployments/{deployment}/outcomes``. ``GET`` with the same path returns
    the accuracy of each version. Only the first output of a model is stored, and forecasts are not stored.
    Requests never wait, because a background thread writes the predictions.

    Args:
        database: URL of a database (extra ``sql``). Several processes can share it.
        association: Column whose value identifies a row, such as an order number; None to identify rows by
            request id. It may be a column of the model or a passthrough column. Its values are stored.
        sticky_by: The option *sticky_by* of the `Rollout`. If it is a column, it must be a column of the
            model or a passthrough column. Rows for which it has the same value are not independent
            observations: they form a group when the uncertainty of a comparison is computed.
        min_rows: Minimum number of outcomes for which accuracy is reported.
        days: Number of days for which predictions are stored.
        max_queued_rows: Maximum number of rows that wait to be written. Further rows are dropped, and
            reported by the metric ``modelgate_prediction_log_lost_rows_total``.
        clock: Function that returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: An option is invalid, or a package is missing.
    """

    def __init__(
        self,
        database: str = "sqlite:///outcomes.db",
        *,
        association: str | None = None,
        sticky_by: str = "request",
        min_rows: int = MIN_OUTCOMES,
        days: int = 90,
        max_queued_rows: int = 50_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(database, str):
            raise ConfigurationError(f"database must be a URL (got {type(database).__name__})")
        if association is not None and not isinstance(association, str):
            raise ConfigurationError(f"association must be a column name or None (got {association!r})")
        if sticky_by not in ("request", "key") and not str(sticky_by).startswith(_COLUMN):
            raise ConfigurationError(
                f'sticky_by must be "request", "key" or "column:name", as in the Rollout (got {sticky_by!r})'
            )
        require_positive_int("min_rows", min_rows)
        require_positive_int("days", days)
        from .outcome_tables import OutcomeTables

        self._tables = OutcomeTables(database)
        self._min_rows = min_rows
        writer = _Writer(self._tables, association, sticky_by, days, clock)
        self._log = PredictionLog(writer, max_queued_rows=max_queued_rows, name="outcomes")

    def __call__(self, record: PredictionRecord) -> None:
        if not record.hypothetical:
            self._log(record)

    def attach(self, values: MetricValues) -> None:
        self._log.attach(values)

    def families(self) -> Iterable[MetricFamily]:
        return self._log.families()

    def flush(self, timeout: float = 5.0) -> bool:
        """Write the queued predictions now. Return False if this takes longer than *timeout* seconds."""
        return self._log.flush(timeout)

    def close(self) -> None:
        self._log.close()
        self._tables.close()

    def accuracy(self, deployment: str) -> AccuracyReport:
        """Return the accuracy of each version of a deployment, and comparisons of versions. This call blocks.

        Raises:
            StoreError: The database is unavailable.
        """
        return read_accuracy(self._tables, deployment, self._min_rows)

    def routes(self) -> Iterator[Route]:
        path = "/deployments/{deployment}/outcomes"
        spec = RouteSpec("Report actual outcomes", StoredOutcomes, Outcomes)
        yield Route("POST", path, self._store, action="outcomes", spec=spec)
        spec = RouteSpec("Accuracy of each version", AccuracyReport)
        yield Route("GET", path, self._report, action="monitor", spec=spec)

    def _report(self, request: Request) -> Flow[Response]:
        report = yield from run(self.accuracy, _find_deployment(request))
        return Response.json(msgspec.to_builtins(report))

    def _store(self, request: Request) -> Flow[Response]:
        name = _find_deployment(request)
        outcomes = (yield from read_json(request, _DECODER)).outcomes
        _check(outcomes)
        unknown, mismatched = yield from run(self._tables.set_outcomes, name, outcomes)
        stored = len(outcomes) - len(unknown) - len(mismatched)
        return Response.json(msgspec.to_builtins(StoredOutcomes(stored, unknown, mismatched)))


def read_accuracy(tables: "OutcomeTables", deployment: str, min_rows: int) -> AccuracyReport:
    """Return the accuracy of a deployment from the stored outcomes."""
    versions = tables.versions(deployment)
    accuracies = [
        measure_accuracy(
            name,
            count,
            "error_rate" if has_labels else "absolute_error",
            tables.errors(deployment, name, start, end),
            tables.calibration(deployment, name) if has_labels else (),
            min_rows,
        )
        for name, count, has_labels, start, end in versions
    ]
    measure = accuracies[0].measure if accuracies else "error_rate"
    arms = tables.arms(deployment) if len({each.measure for each in accuracies}) == 1 else {}
    return AccuracyReport(deployment, accuracies, compare_arms(arms, measure, min_rows))


def _find_deployment(request: Request) -> str:
    context: RequestContext = request.context
    assert context.catalog is not None and context.deployment is not None
    if context.deployment not in context.catalog:
        raise NotFound
    return context.deployment


def _check(outcomes: Sequence[Outcome]) -> None:
    if not 1 <= len(outcomes) <= _MAX_OUTCOMES:
        raise InvalidInput(f"The member outcomes must have 1 to {_MAX_OUTCOMES} items (got {len(outcomes)})")
    for index, outcome in enumerate(outcomes):
        if (outcome.request_id is None) == (outcome.association is None):
            raise InvalidInput(
                f"outcomes[{index}]: send either association, or request_id (and row, unless it is 0)"
            )
        if not isinstance(outcome.actual, str) and abs(outcome.actual) > _LARGEST:
            raise InvalidInput(f"outcomes[{index}].actual must be from -2**53 to 2**53")


class _Writer:
    """Prediction writer that stores the predicted values, to compare them with outcomes later.

    Args:
        tables: Tables of the database.
        association: See `OutcomeLog`.
        sticky_by: See `OutcomeLog`.
        days: See `OutcomeLog`.
        clock: See `OutcomeLog`.
    """

    def __init__(
        self,
        tables: "OutcomeTables",
        association: str | None,
        sticky_by: str,
        days: int,
        clock: Callable[[], float],
    ) -> None:
        self._tables = tables
        self._association = association
        self._sticky_by = sticky_by
        self._days = days
        self._clock = clock
        self._pruned_at = 0.0
        self._warned: set[str] = set()

    def write(self, records: Sequence[PredictionRecord], redact: Collection[str]) -> None:  # noqa: ARG002
        rows = [
            row for record in records if record.prediction.forecast is None for row in self._to_rows(record)
        ]
        now = self._clock()
        if now - self._pruned_at > _DAY:
            self._pruned_at = now
            # First, because the log repeats a failed call: rows that were already added would be added twice.
            self._tables.prune(now - self._days * _DAY)
        if rows:
            self._tables.add(rows)

    def _to_rows(self, record: PredictionRecord) -> Iterator[ScoredRow]:
        output = record.prediction.outputs[0]
        values = [to_json_value(value) for value in output.values.tolist()]
        is_number = output.classes is None and output.values.dtype.kind in "iuf"
        probabilities = [None] * len(values) if output.probabilities is None else output.confidences()
        names = None if self._association is None else _column_texts(record, self._association)
        unit = self._unit(record)
        for row, (value, probability) in enumerate(zip(values, probabilities, strict=True)):
            if value is not None:
                yield ScoredRow(
                    record.deployment,
                    record.version,
                    record.request_id,
                    row,
                    None if names is None else names[row],
                    unit,
                    record.time,
                    None if is_number else msgspec.json.encode(value).decode(),
                    float(value) if is_number else None,
                    probability,
                )

    def _unit(self, record: PredictionRecord) -> str:
        if self._sticky_by == "request":
            return record.request_id
        if self._sticky_by == "key":
            return record.key_id or record.request_id
        # A rollout chooses the version of a request by its first row.
        texts = _column_texts(record, self._sticky_by.removeprefix(_COLUMN))
        if texts is None and record.deployment not in self._warned:
            self._warned.add(record.deployment)
            logger.warning(
                "outcome log: deployment %s: rows have no %s: versions are compared by request",
                record.deployment,
                self._sticky_by,
            )
        return (texts and texts[0]) or record.request_id


def _column_texts(record: PredictionRecord, name: str) -> list[str | None] | None:
    """Return the values of an input or passthrough column as text, or None if there is no such column."""
    if name in record.table:
        values = [to_json_value(value) for value in record.table[name].tolist()]
    elif name in (record.prediction.passthrough_columns or {}):
        assert record.prediction.passthrough_columns is not None
        values = [msgspec.json.decode(value) for value in record.prediction.passthrough_columns[name]]
    else:
        return None
    return [None if value is None else to_association(value) for value in values]
