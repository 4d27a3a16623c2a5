"""Connect to a database that has the rows or gets the predictions of a scoring run, and report its errors."""

import contextlib
import sqlite3
from collections.abc import Iterator

from ..backends.sql import parse_url, sa
from ..errors import ConfigurationError, StoreError
from .option_error import OptionError

__all__ = ["create_engine", "report_errors"]

_WRONG = ("SQLITE_ERROR", "SQLITE_READONLY", "SQLITE_CANTOPEN")
"""Errors of SQLite that do not mean that it is unavailable, although they are an `OperationalError`."""


def create_engine(url: str, option: str) -> sa.Engine:
    """Return an engine without a connection pool.

    Args:
        url: URL of the database, ``sqlite:///path`` or ``postgresql://…``.
        option: Name of the user's option that holds *url*, for error messages.

    Raises:
        ConfigurationError: The URL is not supported, or a package is missing.
    """
    try:
        parsed = parse_url(url, option)
    except ConfigurationError:
        raise OptionError(
            f"{{{option}}} must be the URL of a SQLite file or a PostgreSQL server:"
            " sqlite:///path/to/shop.db or postgresql://user@host/shop"
        ) from None
    try:
        return sa.create_engine(parsed, hide_parameters=True, poolclass=sa.NullPool)
    except ImportError:
        raise ConfigurationError('PostgreSQL needs psycopg: pip install "modelgate[postgresql]"') from None


@contextlib.contextmanager
def report_errors(engine: sa.Engine, name: str, failure: str) -> Iterator[None]:
    """Replace errors of the database that the block raises.

    Args:
        engine: Engine of the database.
        name: Name of the database to show in errors.
        failure: Beginning of the message of a `ConfigurationError`.

    Raises:
        ConfigurationError: The database rejects a statement or a value.
        StoreError: The database is unavailable.
    """
    driver = engine.dialect.loaded_dbapi
    try:
        yield
    except (
        sa.exc.DBAPIError,
        driver.Error,
        sqlite3.Warning,
    ) as error:  # Python 3.11 warns of two statements.
        cause = getattr(error, "orig", error)
        lines = str(cause).splitlines() or [type(cause).__name__]
        is_wrong = getattr(cause, "sqlite_errorname", "") in _WRONG
        if is_wrong or not isinstance(cause, driver.OperationalError):
            raise ConfigurationError(f"{failure}: {lines[0]}") from None
        raise StoreError(f"{name}: the database failed: {lines[0]}") from error
