"""The database of the keys: its table, and the way there."""

from datetime import UTC, datetime
from typing import Any

from ..errors import ConfigurationError

try:
    import sqlalchemy as sa
except ImportError:
    raise ConfigurationError('keys in a database need SQLAlchemy: pip install "modelgate[sql]"') from None

__all__ = ["KEYS", "METADATA", "Moment", "engine_of", "parse_url", "sa"]

_ACCEPTED = "sqlite:///path/to/keys.db or postgresql://user:password@host/database"

# A database that does not answer must not hold a request for minutes. A URL may say otherwise.
_PATIENCE = {"connect_timeout": "5", "tcp_user_timeout": "5000"}
_BUSY_MILLISECONDS = 5000


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment with its time zone; kept as seconds since the epoch, which SQLite can compare too."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> float | None:  # noqa: ARG002
        return value.timestamp() if value is not None else None

    def process_result_value(self, value: float | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return datetime.fromtimestamp(value, UTC) if value is not None else None


METADATA = sa.MetaData()
KEYS = sa.Table(
    "modelgate_keys",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("prefix", sa.String(40), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("limits", sa.Text),
    sa.Column("counted_as", sa.String(32), nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("not_before", Moment),
    sa.Column("expires", Moment),
    sa.Column("revoked", Moment),
    sa.Column("replaced_by", sa.String(32)),
    sa.Column("last_used", Moment),
)


def parse_url(url: str) -> sa.URL:
    """The URL of a database that keys can be in.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        told = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        told = None
    # The URL is not shown: it may hold a password.
    if told is None or told.get_backend_name() not in ("sqlite", "postgresql", "postgres"):
        raise ConfigurationError(f"keys: accepts {_ACCEPTED}")
    if told.get_backend_name() == "sqlite":
        if told.database in (None, "", ":memory:"):
            raise ConfigurationError("keys: SQLite needs a file: accepts sqlite:///path/to/keys.db")
        return told.set(drivername="sqlite")
    return told.set(drivername="postgresql+psycopg", query={**_PATIENCE, **told.query})


def engine_of(url: sa.URL) -> sa.Engine:
    """The connections to a database; none is opened before it is needed.

    Raises:
        ConfigurationError: the database's driver is missing.
    """
    try:
        # hide_parameters: digests have no business in a log.
        engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except ImportError:
        raise ConfigurationError(
            'keys in PostgreSQL need psycopg: pip install "modelgate[postgresql]"'
        ) from None
    if url.get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    # Readers and the writer do not wait for each other; two writers wait, instead of failing.
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode=WAL")
