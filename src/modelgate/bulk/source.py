"""Open the input of a scoring run: a file, a remote file, or the rows of a database query."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import ConfigurationError
from .csv_file import CSVFile, open_csv
from .location import hide_password, is_database, is_url
from .remote_file import RemoteFile

__all__ = ["check_query", "open_rows", "open_source"]


def check_query(path: str | Path, query: str | None) -> None:
    """Raise `ConfigurationError` if *path* is a database without *query*, or *query* has no database."""
    if is_database(path) and query is None:
        raise ConfigurationError("--query must be set to score rows of a database")
    if query is not None and not is_database(path):
        raise ConfigurationError(
            f"--query needs the URL of a database, sqlite:///… or postgresql://… (got {hide_password(path)})"
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
    """Open the rows of the file or URL *path*, or the rows of *query* in the database *path*.

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
