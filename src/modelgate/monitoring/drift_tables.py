"""Storage for drift counts in a SQL database, which several processes and machines may share."""

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from ..backends.sql import Database, sa
from .drift_bins import DriftCounts, Reference
from .drift_statistics import Window
from .drift_storage import ModelKey, MonitoredModel, add_parts

__all__ = ["SQLDriftStorage"]

logger = logging.getLogger("modelgate")

T = TypeVar("T")

_METADATA = sa.MetaData()


def _key_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("deployment", sa.String(64), primary_key=True),
        sa.Column("version", sa.String(200), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
    ]


_MODELS = sa.Table(
    "modelgate_drift_models",
    _METADATA,
    *_key_columns(),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("baseline", sa.Text),
)
_COUNTS = sa.Table(
    "modelgate_drift_counts",
    _METADATA,
    *_key_columns(),
    sa.Column("start", sa.Double, primary_key=True),
    sa.Column("part", sa.String(32), primary_key=True),
    sa.Column("end", sa.Double, nullable=False),
    sa.Column("counts", sa.Text, nullable=False),
)
_ALARMS = sa.Table(
    "modelgate_drift_alarms",
    _METADATA,
    *_key_columns(),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("end", sa.Double, primary_key=True),
)


class SQLDriftStorage:
    """Storage in the tables ``modelgate_drift_…``, which are created on first use.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.

    Raises:
        ConfigurationError: The URL is not supported, or a package is missing.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url, _METADATA, option="database")
        self._damaged: set[str] = set()

    def save(self, key: ModelKey, reference: Reference, bucket: Window, part: str) -> None:
        encoded = msgspec.json.encode(bucket.counts).decode()
        row = {**key._asdict(), "start": bucket.start, "part": part}

        def write(connection: sa.Connection) -> None:
            if connection.execute(_MODELS.select().where(_matches(_MODELS, key._asdict()))).first() is None:
                text = msgspec.json.encode(reference).decode()
                connection.execute(_MODELS.insert().values(**key._asdict(), reference=text))
            connection.execute(_COUNTS.delete().where(_matches(_COUNTS, row)))
            connection.execute(_COUNTS.insert().values(**row, end=bucket.end, counts=encoded))

        self._database.commit(write)

    def load(self, deployment: str, version: str | None = None) -> list[MonitoredModel]:
        names = (
            {"deployment": deployment} if version is None else {"deployment": deployment, "version": version}
        )
        with self._database.transaction() as connection:
            models = connection.execute(_MODELS.select().where(_matches(_MODELS, names))).all()
            rows = connection.execute(_COUNTS.select().where(_matches(_COUNTS, names))).all()
        parts: dict[ModelKey, list[Window]] = {}
        for row in rows:
            part_counts = self._decode(row, row.counts, DriftCounts)
            if part_counts is not None:
                part = Window(row.start, row.end, part_counts)
                parts.setdefault(ModelKey(row.deployment, row.version, row.digest), []).append(part)
        monitored = []
        for row in models:
            key = ModelKey(row.deployment, row.version, row.digest)
            reference = self._decode(row, row.reference, Reference)
            if reference is not None and key in parts:
                baseline = None if row.baseline is None else self._decode(row, row.baseline, Window)
                monitored.append(MonitoredModel(key, reference, baseline, add_parts(parts[key])))
        return sorted(monitored, key=lambda model: model.buckets[-1].start)

    def _decode(self, row: Any, text: str, kind: type[T]) -> T | None:
        """Decode the JSON *text* from *row*. If it is damaged, log this once, and return None."""
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, ValueError) as error:
            if text not in self._damaged:
                self._damaged.add(text)
                logger.error(
                    "drift monitor: deployment %s: ignored a damaged value of version %s: %s",
                    row.deployment,
                    row.version,
                    error,
                )
            return None

    def set_baseline(self, key: ModelKey, baseline: Window) -> None:
        is_unset = _matches(_MODELS, key._asdict()) & _MODELS.c.baseline.is_(None)
        text = msgspec.json.encode(baseline).decode()
        self._database.commit(
            lambda connection: connection.execute(_MODELS.update().where(is_unset).values(baseline=text))
        )

    def claim(self, key: ModelKey, subject: str, since: float, end: float) -> bool:
        row = {**key._asdict(), "subject": subject}
        overlaps = _matches(_ALARMS, row) & (_ALARMS.c.end > since)

        def write(connection: sa.Connection) -> bool:
            if connection.execute(_ALARMS.select().where(overlaps)).first() is not None:
                return False
            connection.execute(_ALARMS.insert().values(**row, end=end))
            return True

        return self._database.commit(write)

    def prune(self, periods: int) -> None:
        has_counts = sa.exists().where(
            *(_COUNTS.c[name] == _MODELS.c[name] for name in ModelKey._fields),
        )

        newest = sa.select(_COUNTS.c.start).distinct().order_by(_COUNTS.c.start.desc()).limit(periods)

        def write(connection: sa.Connection) -> None:
            before = min(connection.scalars(newest), default=0.0)
            connection.execute(_COUNTS.delete().where(_COUNTS.c.start < before))
            connection.execute(_ALARMS.delete().where(_ALARMS.c.end < before))
            connection.execute(_MODELS.delete().where(~has_counts))

        self._database.commit(write)

    def close(self) -> None:
        self._database.close()


def _matches(table: sa.Table, values: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == value for name, value in values.items()))
