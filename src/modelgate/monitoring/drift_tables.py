"""Tables of drift monitoring in a SQL database, which several processes and machines may share."""

import os
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from ..backends.sql import Database, sa
from .drift_bins import DriftCounts, Reference
from .drift_statistics import Window
from .drift_storage import ModelKey, MonitoredModel

__all__ = ["SQLDriftStorage"]

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
    sa.Column("process", sa.String(32), primary_key=True),
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
        self._process, self._pid = uuid.uuid4().hex, os.getpid()

    def save(self, key: ModelKey, reference: Reference, bucket: Window) -> None:
        if self._pid != os.getpid():
            self._process, self._pid = uuid.uuid4().hex, os.getpid()
        encoded = msgspec.json.encode(bucket.counts).decode()
        row = {**key._asdict(), "start": bucket.start, "process": self._process}

        def write(connection: sa.Connection) -> None:
            if connection.execute(_MODELS.select().where(_matches(_MODELS, key._asdict()))).first() is None:
                text = msgspec.json.encode(reference).decode()
                connection.execute(_MODELS.insert().values(**key._asdict(), reference=text))
            connection.execute(_COUNTS.delete().where(_matches(_COUNTS, row)))
            connection.execute(_COUNTS.insert().values(**row, end=bucket.end, counts=encoded))

        self._database.commit(write)

    def load(self, deployment: str) -> list[MonitoredModel]:
        counts = _COUNTS.select().where(_COUNTS.c.deployment == deployment).order_by(_COUNTS.c.start)
        with self._database.transaction() as connection:
            models = connection.execute(_MODELS.select().where(_MODELS.c.deployment == deployment)).all()
            rows = connection.execute(counts).all()
        buckets: dict[ModelKey, dict[float, Window]] = {}
        for row in rows:
            of_model = buckets.setdefault(ModelKey(row.deployment, row.version, row.digest), {})
            more = msgspec.json.decode(row.counts, type=DriftCounts)
            before = of_model.get(row.start)
            of_model[row.start] = Window(row.start, row.end, more if before is None else before.counts + more)
        monitored = [
            MonitoredModel(
                key,
                msgspec.json.decode(row.reference, type=Reference),
                None if row.baseline is None else msgspec.json.decode(row.baseline, type=Window),
                list(buckets[key].values()),
            )
            for row in models
            if (key := ModelKey(row.deployment, row.version, row.digest)) in buckets
        ]
        return sorted(monitored, key=lambda model: model.buckets[-1].start)

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

    def prune(self, before: float) -> None:
        has_counts = sa.exists().where(
            *(_COUNTS.c[name] == _MODELS.c[name] for name in ModelKey._fields),
        )

        def write(connection: sa.Connection) -> None:
            connection.execute(_COUNTS.delete().where(_COUNTS.c.start < before))
            connection.execute(_ALARMS.delete().where(_ALARMS.c.end < before))
            connection.execute(_MODELS.delete().where(~has_counts))

        self._database.commit(write)

    def close(self) -> None:
        self._database.close()


def _matches(table: sa.Table, values: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == value for name, value in values.items()))
