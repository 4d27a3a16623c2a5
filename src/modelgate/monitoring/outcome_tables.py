"""Store predictions and their outcomes in a SQL database. All methods block."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import msgspec

from ..backends.sql import Database, sa
from .outcome_rows import Outcome, ScoredRow, to_association
from .outcome_statistics import CALIBRATION_BINS, CalibrationBin
from .sequential import Mean

__all__ = ["OutcomeTables"]

_METADATA = sa.MetaData()
_ROWS = sa.Table(
    "modelgate_scored_rows",
    _METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("deployment", sa.String(64), nullable=False),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("request_id", sa.String(200), nullable=False),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Column("association", sa.Text),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False, index=True),
    sa.Column("label", sa.Text),
    sa.Column("number", sa.Double),
    sa.Column("probability", sa.Double),
    sa.Column("actual", sa.Text),
    sa.Column("error", sa.Double),
    sa.Index("modelgate_scored_rows_request", "deployment", "request_id", "row"),
    sa.Index("modelgate_scored_rows_association", "deployment", "association"),
)


class OutcomeTables:
    """Storage in the table ``modelgate_scored_rows``, which is created on first use.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.

    Raises:
        ConfigurationError: The URL is not supported, or a package is missing.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url, _METADATA, option="database")

    def close(self) -> None:
        """Close the connections. They are reopened on demand."""
        self._database.close()

    def add(self, rows: Sequence[ScoredRow]) -> None:
        """Store predictions."""
        with self._database.transaction() as connection:
            connection.execute(_ROWS.insert(), [msgspec.structs.asdict(row) for row in rows])

    def prune(self, before: float) -> None:
        """Delete the predictions that were made before the time *before*, and their outcomes."""
        self._database.commit(
            lambda connection: connection.execute(_ROWS.delete().where(_ROWS.c.time < before))
        )

    def set_outcomes(self, deployment: str, outcomes: Sequence[Outcome]) -> tuple[list[int], list[int]]:
        """Store the outcomes of predictions of *deployment*.

        A later outcome of the same prediction replaces an earlier one.

        Returns:
            Two lists of indices: outcomes without a stored prediction, and outcomes with another type than
            their prediction.
        """

        def write(connection: sa.Connection) -> tuple[list[int], list[int]]:
            unknown, mismatched = [], []
            for index, outcome in enumerate(outcomes):
                found = connection.execute(_find(deployment, outcome)).first()
                if found is None:
                    unknown.append(index)
                    continue
                error = _error(found, outcome.actual)
                if error is None:
                    mismatched.append(index)
                    continue
                actual = msgspec.json.encode(outcome.actual).decode()
                connection.execute(
                    _ROWS.update().where(_ROWS.c.id == found.id).values(actual=actual, error=error)
                )
            return unknown, mismatched

        return self._database.commit(write)

    def versions(self, deployment: str) -> list[tuple[str, int, bool, float, float]]:
        """Return the versions of a deployment. The oldest version is first.

        Each has a name, a number of rows, whether it predicts labels, and the times of its first and last
        prediction.
        """
        first = sa.func.min(_ROWS.c.time)
        query = (
            sa.select(
                _ROWS.c.version,
                sa.func.count(),
                sa.func.count(_ROWS.c.label) > 0,
                first,
                sa.func.max(_ROWS.c.time),
            )
            .where(_ROWS.c.deployment == deployment)
            .group_by(_ROWS.c.version)
            .order_by(first)
        )
        with self._database.transaction() as connection:
            return [
                (name, count, bool(labels), start, end)
                for name, count, labels, start, end in connection.execute(query)
            ]

    def errors(self, deployment: str, version: str, start: float, end: float) -> Mean:
        """Return the mean absolute error of a version from *start* to *end*.

        Rows with the same `ScoredRow.unit` are a group.
        """
        rows = self._known(deployment, version, start, end)
        query = rows.with_only_columns(sa.func.count(), sa.func.sum(sa.func.abs(_ROWS.c.error)))
        with self._database.transaction() as connection:
            return Mean.from_groups(
                (count, total) for count, total in connection.execute(query.group_by(_ROWS.c.unit))
            )

    def calibration(self, deployment: str, version: str) -> list[CalibrationBin]:
        """Return the calibration bins of a version. Bins without predictions are left out."""
        number = sa.case(
            # The last range includes the probability 1.
            (_ROWS.c.probability >= 1, CALIBRATION_BINS - 1),
            else_=sa.cast(sa.func.floor(_ROWS.c.probability * CALIBRATION_BINS), sa.Integer),
        )
        query = (
            self._known(deployment, version)
            .where(_ROWS.c.probability.is_not(None))
            .with_only_columns(
                sa.func.count(), sa.func.avg(_ROWS.c.probability), sa.func.avg(1 - _ROWS.c.error)
            )
            .group_by(number)
            .order_by(number)
        )
        with self._database.transaction() as connection:
            return [CalibrationBin(*row) for row in connection.execute(query)]

    def traffic(self, deployment: str) -> dict[str, dict[int, int]]:
        """Return the number of predicted rows by version and day since the epoch, in UTC."""
        day = sa.cast(sa.func.floor(_ROWS.c.time / 86_400), sa.Integer)
        query = (
            sa.select(_ROWS.c.version, day, sa.func.count())
            .where(_ROWS.c.deployment == deployment)
            .group_by(_ROWS.c.version, day)
        )
        rows: dict[str, dict[int, int]] = defaultdict(dict)
        with self._database.transaction() as connection:
            for version, number, count in connection.execute(query):
                rows[version][number] = count
        return dict(rows)

    def arms(self, deployment: str) -> dict[tuple[str, str], tuple[Mean, Mean]]:
        """Return the mean errors of each pair of versions, in the period in which both served.

        The oldest pair is first.
        """
        periods = sorted(
            (max(start, later), min(end, until), first, second)
            for (first, _, _, start, end), (second, _, _, later, until) in combinations(
                self.versions(deployment), 2
            )
        )
        return {
            (first, second): (
                self.errors(deployment, first, start, end),
                self.errors(deployment, second, start, end),
            )
            for start, end, first, second in periods
            if start < end
        }

    @staticmethod
    def _known(
        deployment: str, version: str, start: float | None = None, end: float | None = None
    ) -> "sa.Select[Any]":
        query = sa.select(_ROWS).where(
            _ROWS.c.deployment == deployment, _ROWS.c.version == version, _ROWS.c.error.is_not(None)
        )
        return query if start is None else query.where(_ROWS.c.time.between(start, end))


def _find(deployment: str, outcome: Outcome) -> "sa.Select[Any]":
    query = sa.select(_ROWS.c.id, _ROWS.c.label, _ROWS.c.number).where(_ROWS.c.deployment == deployment)
    if outcome.request_id is None:
        query = query.where(_ROWS.c.association == to_association(outcome.association))
    else:
        query = query.where(
            _ROWS.c.request_id == outcome.request_id.replace("\0", "\ufffd"), _ROWS.c.row == outcome.row
        )
    return query.order_by(_ROWS.c.id.desc()).limit(1)


def _error(prediction: "sa.Row[Any]", actual: Any) -> float | None:
    """Return the error of a prediction (0 or 1 for a label), or None if the outcome has another type."""
    is_number = isinstance(actual, int | float) and not isinstance(actual, bool)
    if prediction.label is None:
        return float(actual - prediction.number) if is_number else None
    label = msgspec.json.decode(prediction.label)
    if isinstance(label, str) != isinstance(actual, str) or isinstance(label, bool) != isinstance(
        actual, bool
    ):
        return None
    return float(label != actual)
