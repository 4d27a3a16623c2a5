"""Read CSV files of existing API keys."""

import csv
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TextIO

import click

from ..errors import ConfigurationError
from .durations import parse_future_time, parse_time

__all__ = ["read_keys"]

_REQUIRED = {"key", "owner", "scopes"}
_TIMES: dict[str, Callable[[str], datetime]] = {"not_before": parse_time, "expires": parse_future_time}


def read_keys(file: TextIO) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the keys in *file*, each with its arguments for `KeyAdmin.create`.

    Raises:
        ConfigurationError: A column or a cell is missing or invalid. For a cell, the message has the number
            of the key, from 1.
        csv.Error, UnicodeDecodeError: The file is not CSV, or not in UTF-8.
    """
    reader = csv.DictReader(file, strict=True)
    names = list(reader.fieldnames or ())
    if not _REQUIRED <= set(names) <= {*_REQUIRED, "limits", *_TIMES} or len(set(names)) < len(names):
        # The message does not quote the first line: if the file has no column names, it contains a key.
        raise ConfigurationError(
            "the first line of the file must be the names of the columns: key, owner, scopes, and optionally"
            " limits, not_before and expires"
        )
    for number, row in enumerate(reader, start=1):
        if None in row or None in row.values():
            raise ConfigurationError(f"key {number} must have {len(names)} cells (got more or fewer)")
        cells: dict[str, Any] = {name: text.strip() for name, text in row.items() if text.strip()}
        if not cells.keys() >= _REQUIRED:
            raise ConfigurationError(f"key {number} must have a key, an owner and scopes (got an empty cell)")
        for name in _TIMES.keys() & cells.keys():
            try:
                cells[name] = _TIMES[name](cells[name])
            except click.BadParameter as error:
                raise ConfigurationError(f"key {number}: {name} {error.message}") from None
        yield cells.pop("key"), {**cells, "scopes": cells["scopes"].split()}
