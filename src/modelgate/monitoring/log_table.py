"""Write prediction logs to a table in a SQL database."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from ..backends.sql import Database, UTCDateTime, sa
from .log_rows import entry_batches
from .prediction_hook import PredictionRecord

__all__ = ["PREDICTIONS", "LogTable"]

METADATA = sa.MetaData()
PREDICTIONS = sa.Table(
    "modelgate_predictions",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("request_id", sa.String(64), nullable=False, index=True),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Column("deployment", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text),
    sa.Column("time", UTCDateTime, nullable=False, index=True),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("hypothetical", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("input", sa.Text),
    sa.Column("prediction", sa.Text, nullable=False),
    sa.Column("probabilities", sa.Text),
    sa.Column("series", sa.Text),
    sa.Column("timestamp", sa.Text),
)
_JSON = ("input", "prediction", "probabilities", "series")


class LogTable:
    """Prediction writer for the table ``modelgate_predictions``, which is created on first use.

    Nested values are stored as JSON.

    If the table was created by an earlier version of modelgate, the first use adds the columns that it lacks.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.

    Raises:
        ConfigurationError: The URL is not supported, or a package is missing.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url, METADATA, option="destination")

    def write(self, records: Sequence[PredictionRecord], redact: Collection[str]) -> None:
        with self._database.transaction() as connection:
            for entries in entry_batches(records, redact):
                connection.execute(PREDICTIONS.insert(), list(map(_to_row, entries)))

    def close(self) -> None:
        """Close the connections. They are opened again when needed."""
        self._database.close()


def _to_row(entry: dict[str, Any]) -> dict[str, Any]:
    row = {"series": None, "timestamp": None, **entry}
    for name in _JSON:
        if row[name] is not None:
            row[name] = msgspec.json.encode(row[name], enc_hook=str).decode()
    return row
