"""Open the input of a scoring run: a file, a remote file, or the rows of a database query."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .csv_file import CSVFile, open_csv
from .location import hide_password, is_database, is_url
from .option_error import OptionError
from .remote_file import RemoteFile

__all__ = ["check_query", "open_rows", "open_source"]


def check_query(path: str | Path, query: str | None) -> None:
    """Raise `OptionError` unless *query* is set for a database, and None for any other *path*."""
    if is_database(path) and query is None:
        raise OptionError("{query} must be set to score rows of a database")
    if query is not None and not is_database(path):
        raise OptionError(
            "{query} needs the URL of a database as {path}, sqlite:///… or postgresql://… (got {url})",
            url=hide_password(path),
        )


@contextmanager
def open_source(path: str | Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open an input file or URL, and return the open file and its size in bytes.

    Raises:
        ConfigurationError: The remote file does not exist, or the URL is not valid.
        StoreError: The storage failed.
    """
    if is_url(path):
        with RemoteFile(str(path)).open() as opened:
            yield opened
    else:
        with Path(path).open("rb", buffering=0) as file:
            yield file, os.fstat(file.fileno()).st_size


@contextmanager
def open_rows(path: str | Path, query: str | None) -> Iterator[CSVFile]:
    """Open the rows of the file or URL *path*. If *query* is set, open its rows in the database *path*.

    Raises:
        ConfigurationError: The input cannot be used.
        StoreError: The storage or the database failed.
    """
    if query is not None:
        from .query import open_query

        with open_query(str(path), query) as rows:
            yield rows
        return
    with open_source(path) as (file, size), open_csv(file, hide_password(path), size) as rows:
        yield rows
