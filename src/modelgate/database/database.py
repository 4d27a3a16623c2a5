"""The way to a database: SQLite or PostgreSQL, through SQLAlchemy Core. What is here blocks."""

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from ..errors import ConfigurationError, StoreError

try:
    import sqlalchemy as sa
except ImportError:
    raise ConfigurationError('a database needs SQLAlchemy: pip install "modelgate[sql]"') from None

__all__ = ["Database", "Moment", "from_timestamp", "sa"]

# A database that does not answer must not hold a request for minutes. A URL may say otherwise.
_PATIENCE = {"connect_timeout": "5", "tcp_user_timeout": "5000"}
_BUSY_MILLISECONDS = 5000

_TRIES = 100
"""Of those who write the same at once one gets on; as many may wait for each other."""

T = TypeVar("T")

_FIRST, _END = datetime.min.replace(tzinfo=UTC).timestamp(), 253_402_300_800.0
_LAST = datetime.max.replace(tzinfo=UTC)


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment with its time zone; kept as seconds since the epoch, which SQLite can compare too."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> float | None:  # noqa: ARG002
        return value.timestamp() if value is not None else None

    def process_result_value(self, value: float | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return from_timestamp(value) if value is not None else None


def from_timestamp(seconds: float) -> datetime:
    """Return the moment *seconds* after the epoch, in UTC, or the nearest one that a datetime can be."""
    # The last microseconds of the year 9999 are rounded up; and a row that cannot be read hides all others.
    return datetime.fromtimestamp(max(seconds, _FIRST), UTC) if seconds < _END else _LAST


class Database:
    """Tables in a database, which are made where there are none.

    Args:
        url: ``sqlite:///path``, or ``postgresql://…``.
        metadata: the tables.
        option: what the user calls the url.

    Raises:
        ConfigurationError: the url is none of these, or a package is missing.
    """

    def __init__(self, url: str, metadata: sa.MetaData, *, option: str) -> None:
        self._option = option
        self._url = _parse_url(url, option)
        self._metadata = metadata
        self._ready = False
        self._start()
        _start_in_children(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url.get_backend_name()})"

    @property
    def backend(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._url.get_backend_name()

    def _start(self) -> None:
        """What belongs to one process alone: called in each forked child too."""
        # A child leaves its parent's connections alone: even closing one would speak to the server.
        self._inherited = getattr(self, "_inherited", ()), getattr(self, "_engine", None)
        self._engine = _engine_of(self._url)

    def close(self) -> None:
        """Close the connections. They are opened again where one is needed."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            if not self._ready:
                self._make_table()
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise StoreError from error

    def _committed(self, write: Callable[[sa.Connection], T]) -> T:
        """The result of *write*, in a transaction; anew where another one has written the same meanwhile.

        Raises:
            ConfigurationError: who asks may not write there.
            StoreError: the database cannot be asked.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self._transaction() as connection:
                    return write(connection)
            except StoreError as error:
                if _is_forbidden(error.__cause__):
                    raise ConfigurationError(
                        f"{self._option}: the database does not let its user write"
                    ) from error
                if not left or not isinstance(error.__cause__, sa.exc.IntegrityError):
                    raise
        raise AssertionError

    def _make_table(self) -> None:
        # What SQLite says of a table that is there is said of a PostgreSQL that cannot be reached.
        known = (sa.exc.ProgrammingError, sa.exc.IntegrityError)
        raced = (*known, sa.exc.OperationalError) if self.backend == "sqlite" else known
        for _ in self._metadata.tables:
            # Another process may make one between the look and the deed.
            with contextlib.suppress(*raced):
                self._metadata.create_all(self._engine)
                break
        else:
            self._metadata.create_all(self._engine)
        self._ready = True


def _is_forbidden(error: object) -> bool:
    told = getattr(error, "orig", None)
    # PostgreSQL's insufficient_privilege and read_only_sql_transaction.
    return getattr(told, "sqlstate", None) in ("42501", "25006") or (
        getattr(told, "sqlite_errorname", "").startswith("SQLITE_READONLY")
    )


def _start_in_children(database: Database) -> None:
    alive = weakref.ref(database)

    def start() -> None:
        inherited = alive()
        if inherited is not None:
            inherited._start()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=start)


def _parse_url(url: str, option: str) -> sa.URL:
    try:
        told = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        told = None
    # The URL is not shown: it may hold a password.
    if told is None or told.get_backend_name() not in ("sqlite", "postgresql", "postgres"):
        raise ConfigurationError(
            f"{option}: accepts sqlite:///path/to/{option}.db or postgresql://user:password@host/database"
        )
    if told.get_backend_name() == "sqlite":
        if told.database in (None, "", ":memory:"):
            raise ConfigurationError(f"{option}: SQLite needs a file: accepts sqlite:///path/to/{option}.db")
        return told.set(drivername="sqlite")
    return told.set(drivername="postgresql+psycopg", query={**_PATIENCE, **told.query})


def _engine_of(url: sa.URL) -> sa.Engine:
    """The connections to a database; none is opened before it is needed."""
    try:
        # hide_parameters: digests and models have no business in a log.
        engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except ImportError:
        raise ConfigurationError('PostgreSQL needs psycopg: pip install "modelgate[postgresql]"') from None
    if url.get_backend_name() == "sqlite":
        sa.event.listen(engine, "do_connect", _make_private)
        sa.event.listen(engine, "connect", _set_up_sqlite)
    else:
        sa.event.listen(engine, "do_connect", _connect_to_postgresql)
    return engine


def _connect_to_postgresql(_: object, __: object, args: Sequence[Any], options: dict[str, Any]) -> Any:
    from .patience import PatientConnection

    return PatientConnection.connect(*args, **options)


def _make_private(_: object, __: object, args: Sequence[Any], ___: object) -> None:
    """Make the file, if there is none, for its owner alone: SQLite would let others read it."""
    path = str(args[0])
    # A URI may name what is no file. What else cannot be made is left for SQLite to report.
    if not path.startswith("file:"):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _set_up_sqlite(connection: Any, _: object) -> None:
    # SQLite stores any bytes as text. One row of them must not fail the query for all.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    # Readers and the writer do not wait for each other; two writers wait, instead of failing.
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode=WAL")
