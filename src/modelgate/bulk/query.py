"""Read the rows of a database query as a stream of CSV."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from threading import Lock
from typing import Any
from uuid import UUID

from ..backends.sql import require_existing, sa
from ..codecs.csv_records import format_records
from ..errors import ConfigurationError
from .block_stream import open_blocks
from .csv_file import CSVFile
from .database import create_engine, report_errors
from .location import hide_password
from .option_error import OptionError

__all__ = ["open_query"]

_BATCH_ROWS = 10_000

_CANCEL_TIMEOUT = 5.0
"""Timeout, in seconds, of the request to PostgreSQL to cancel a query."""


@contextlib.contextmanager
def open_query(url: str, query: str) -> Iterator[CSVFile]:
    """Run *query*, and return a stream of its rows as CSV. Nothing is written to the database.

    NULL and NaN become empty cells. Times with a time zone become UTC.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.
        query: SQL statement that returns rows.

    Raises:
        ConfigurationError: The URL is not supported, a package is missing, the statement is not valid, or a
            value cannot be written as a CSV cell. Some errors are noticed only while the stream is read.
        StoreError: The database is unavailable.
    """
    name = hide_password(url)
    engine = create_engine(url, "path")
    try:
        require_existing(url, "path")
    except ConfigurationError:
        raise OptionError("{path} must be a database that exists (got {name})", name=name) from None
    with contextlib.ExitStack() as stack:
        with report_errors(engine, name, f"The query cannot be run by {name}"):
            connection = stack.enter_context(engine.connect())
            if engine.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
            # yield_per: PostgreSQL sends rows as they are read. no_parameters: % in the query is plain text.
            options = {"postgresql_readonly": True, "no_parameters": True, "yield_per": _BATCH_ROWS}
            result = connection.execution_options(**options).exec_driver_sql(query)
        if not result.returns_rows:
            raise OptionError("{query} must be a statement that returns rows, such as SELECT")
        lock = Lock()
        try:
            content = open_blocks(_to_csv(result, engine, name, lock))
            yield CSVFile(content, lambda _: None, ", with a query that has ORDER BY unique columns")
        finally:
            # If the run stops, a thread may still wait for rows. Closing the query would then crash SQLite.
            while not lock.acquire(timeout=0.1):
                _cancel(connection.connection.driver_connection)
            result.close()
            lock.release()


def _cancel(connection: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.interrupt()
    else:
        with contextlib.suppress(Exception):  # A connection that is lost needs no cancelling.
            connection.cancel_safe(timeout=_CANCEL_TIMEOUT)


def _to_csv(result: sa.CursorResult[Any], engine: sa.Engine, name: str, lock: Lock) -> Iterator[bytes]:
    names = list(result.keys())
    cells: Iterable[Sequence[Any]] = [names]
    while True:
        yield format_records(cells).encode("utf-8", "replace")
        with report_errors(engine, name, f"The query cannot be run by {name}"), lock:
            rows = result.fetchmany(_BATCH_ROWS)
        if not rows:
            return
        cells = zip(*map(_to_cells, names, zip(*rows, strict=True)), strict=True)


_CELLS = frozenset({type(None), str, int, bool, date, UUID})
"""Types that the csv module writes as needed: None as an empty cell, other values as their text."""


def _to_cells(name: str, values: Sequence[Any]) -> Sequence[Any]:
    types = set(map(type, values))
    if types <= _CELLS:
        return values
    for unknown in types - _CELLS - {float, Decimal, datetime, time}:
        raise OptionError(
            "{query} must return numbers, texts, booleans, dates and times"
            " (got {column}: {kind}): convert or drop the column",
            column=name,
            kind=unknown.__name__,
        )
    return [_to_cell(value) for value in values]


def _to_cell(value: Any) -> Any:
    if isinstance(value, float | Decimal):
        return None if value != value else value
    if isinstance(value, datetime) and value.tzinfo is not None:
        with contextlib.suppress(OverflowError):  # In UTC, the year would be 0 or 10000.
            return value.astimezone(UTC)
    return value
