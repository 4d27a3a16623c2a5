"""SQLite and PostgreSQL databases, through SQLAlchemy Core. All calls block."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from ..errors import ConfigurationError, StoreError
from ..flow.fork_safety import reset_after_fork

try:
    import sqlalchemy as sa
except ImportError:
    raise ConfigurationError('a database needs SQLAlchemy: pip install "modelgate[sql]"') from None

__all__ = ["Database", "UTCDateTime", "from_timestamp", "parse_url", "require_existing", "sa"]

# Without timeouts, an unresponsive database would block a request for minutes. A URL may set other timeouts.
_TIMEOUTS = {"connect_timeout": "5", "tcp_user_timeout": "5000"}
_BUSY_MILLISECONDS = 5000

_MAX_ATTEMPTS = 100
"""Maximum number of attempts of a transaction. Of the transactions that conflict, one succeeds each time, so
100 concurrent writers all succeed."""

T = TypeVar("T")

_FIRST, _END = datetime.min.replace(tzinfo=UTC).timestamp(), 253_402_300_800.0
_LAST = datetime.max.replace(tzinfo=UTC)


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """Column type for times in UTC.

    They are stored as seconds since the epoch, so that SQLite can compare them.
    """

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> float | None:  # noqa: ARG002
        return value.timestamp() if value is not None else None

    def process_result_value(self, value: float | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return from_timestamp(value) if value is not None else None


def from_timestamp(seconds: float) -> datetime:
    """Return the datetime in UTC that is *seconds* after the epoch.

    Values out of range become the nearest datetime.
    """
    # The float of the last microseconds of the year 9999 is rounded up to the year 10000, which datetime
    # rejects. An error in one row would fail the whole query.
    return datetime.fromtimestamp(max(seconds, _FIRST), UTC) if seconds < _END else _LAST


class Database:
    """Connections to a database. Missing tables are created on first use.

    A table that an earlier version of modelgate created may lack columns. If a missing column has a server
    default, it is added, too.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.
        metadata: Definitions of the tables.
        option: Name of the user's option that holds *url*, for error messages.

    Raises:
        ConfigurationError: The URL is not supported, or a package is missing.
    """

    def __init__(self, url: str, metadata: sa.MetaData, *, option: str) -> None:
        self._option = option
        self.url = parse_url(url, option)
        self._metadata = metadata
        self._ready = False
        self._start()
        reset_after_fork(self._start)

    @property
    def backend(self) -> str:
        """Name of the database system, ``sqlite`` or ``postgresql``."""
        return self.url.get_backend_name()

    def _start(self) -> None:
        """Create the connection pool. This is called again in a forked child."""
        # Keep a reference to the parent's connections: closing one in the child would write to its socket.
        self._inherited = getattr(self, "_inherited", ()), getattr(self, "engine", None)
        self.engine = _create_engine(self.url)

    def close(self) -> None:
        """Close all connections. New connections are opened on demand."""
        self.engine.dispose()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Run the block in a transaction. If the block raises an error, the transaction is rolled back.

        Raises:
            StoreError: The database is unavailable, or rejects a statement.
        """
        try:
            if not self._ready:
                self._create_tables()
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise StoreError from error

    def commit(self, write: Callable[[sa.Connection], T]) -> T:
        """Run *write* in a transaction and return its result. Retry if another transaction conflicts.

        Raises:
            ConfigurationError: The database user has no permission to write.
            StoreError: The database is unavailable.
        """
        for remaining in reversed(range(_MAX_ATTEMPTS)):
            try:
                with self.transaction() as connection:
                    return write(connection)
            except StoreError as error:
                if _is_forbidden(error.__cause__):
                    raise ConfigurationError(
                        f"{self._option}: the database user has no permission to write: grant it, or use"
                        " another user"
                    ) from error
                if not remaining or not isinstance(error.__cause__, sa.exc.IntegrityError):
                    raise
        raise AssertionError

    def _create_tables(self) -> None:
        # SQLite raises OperationalError if a table exists. PostgreSQL raises it if the server cannot be
        # reached.
        table_exists = [sa.exc.ProgrammingError, sa.exc.IntegrityError]
        if self.backend == "sqlite":
            table_exists.append(sa.exc.OperationalError)
        for _ in range(len(self._metadata.tables) + 2):
            # Another process may create a table or a column concurrently. Retry for the other tables, and twice
            # more, because a new SQLite file may also be locked while another process makes it a WAL database.
            with contextlib.suppress(*table_exists):
                self._create_missing()
                break
        else:
            self._create_missing()
        self._ready = True

    def _create_missing(self) -> None:
        self._metadata.create_all(self.engine)
        for table in self._metadata.tables.values():
            addable = [column for column in table.columns if column.server_default is not None]
            if not addable:
                continue
            with self.engine.begin() as connection:
                existing = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
                for column in addable:
                    if column.name not in existing:
                        definition = sa.schema.CreateColumn(column).compile(self.engine)
                        connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


def require_existing(url: str, option: str) -> None:
    """Check that a database file exists, so that a command that only reads does not create an empty file.

    Args:
        url: URL of the database.
        option: Name of the user's option that holds *url*, for error messages.

    Raises:
        ConfigurationError: There is no such file, or the URL is not supported.
    """
    parsed = parse_url(url, option)
    path = str(parsed.database)
    if parsed.drivername == "sqlite" and not path.startswith("file:") and not os.path.exists(path):  # noqa: PTH110
        raise ConfigurationError(f"{option} must be a database that exists (there is no file {path})")


def _is_forbidden(error: object) -> bool:
    driver_error = getattr(error, "orig", None)
    # PostgreSQL: insufficient_privilege and read_only_sql_transaction.
    return getattr(driver_error, "sqlstate", None) in ("42501", "25006") or (
        getattr(driver_error, "sqlite_errorname", "").startswith("SQLITE_READONLY")
    )


def parse_url(text: str, option: str) -> sa.URL:
    """Return the URL of a database, with the driver and the timeouts that `Database` uses.

    Args:
        text: URL of the database, ``sqlite:///path`` or ``postgresql://…``.
        option: Name of the user's option that holds *text*, for error messages.

    Raises:
        ConfigurationError: The URL is not supported.
    """
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    is_supported = url is not None and url.get_backend_name() in ("sqlite", "postgresql", "postgres")
    # A host with @ contains the end of a password that is not percent-encoded, and drivers would show it. The
    # message does not contain the URL, which may have a password.
    if url is None or not is_supported or "@" in (url.host or ""):
        raise ConfigurationError(
            f"{option} must be sqlite:///path/to/{option}.db or postgresql://user:password@host/database"
        )
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ConfigurationError(
                f"{option} must be an SQLite database in a file: sqlite:///path/to/{option}.db"
            )
        return url.set(drivername="sqlite")
    return url.set(drivername="postgresql+psycopg", query={**_TIMEOUTS, **url.query})


def _create_engine(url: sa.URL) -> sa.Engine:
    """Create a connection pool that connects on first use."""
    try:
        # hide_parameters: keeps digests and models out of the log.
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
    from .postgresql import TimeoutConnection

    return TimeoutConnection.connect(*args, **options)


def _make_private(_: object, __: object, args: Sequence[Any], ___: object) -> None:
    """Create the SQLite file if it is missing. Only its owner can access it.

    If SQLite itself creates the file, other users may be able to read it.
    """
    path = str(args[0])
    # A URI that begins with file: may name no file. SQLite itself reports the errors suppressed here.
    if not path.startswith("file:"):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _set_up_sqlite(connection: Any, _: object) -> None:
    # SQLite stores any bytes as text. Invalid UTF-8 in one row must not fail the whole query.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    # WAL: readers and the writer do not block each other. Busy timeout: a second writer waits instead of
    # failing.
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode=WAL")
