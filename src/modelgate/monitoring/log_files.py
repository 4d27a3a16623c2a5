"""Write prediction logs to files of JSON lines or Parquet."""

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ConfigurationError
from .log_rows import entry_batches
from .prediction_hook import PredictionRecord

if TYPE_CHECKING:
    import polars

__all__ = ["LogFiles"]

_UNFINISHED = ".new"
_ABANDONED_AFTER = 60
"""Seconds after which an unfinished file counts as abandoned. Writing one takes less than a second."""


class LogFiles:
    """Prediction writer for files in a folder. Each process writes its own files.

    File names begin with the time in UTC, so that they sort by time.

    Args:
        folder: Folder for the files of this log only. It is created if it is missing.
        file_format: ``"jsonl"`` or ``"parquet"``.
        max_bytes: Size in bytes at which a new file of JSON lines begins.
        max_files: Number of files to keep, including the files of other processes; None to keep all.

    Raises:
        ConfigurationError: The folder cannot be written, or polars is missing.
    """

    def __init__(self, folder: Path, file_format: str, max_bytes: int, max_files: int | None) -> None:
        # The process may change its working directory.
        self._folder = folder.absolute()
        self._suffix = f".{file_format}"
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._numbers = count()
        self._path: Path | None = None
        self._pid = 0
        if file_format == "parquet":
            try:
                import polars  # noqa: F401
            except ImportError:
                raise ConfigurationError(
                    'format "parquet" needs polars: pip install "modelgate[polars]"'
                ) from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"destination must be a folder that can be written (got {str(folder)!r}):"
                f" {getattr(error, 'strerror', error)}"
            ) from error
        self._delete_abandoned()

    def write(self, records: Sequence[PredictionRecord], redact: Collection[str]) -> None:
        if self._suffix == ".jsonl":
            self._append(map(msgspec.json.Encoder(enc_hook=str).encode_lines, entry_batches(records, redact)))
        else:
            self._write_frames(records, redact)
        self._delete_oldest()

    def _append(self, parts: Iterable[bytes]) -> None:
        if self._path is None or self._pid != os.getpid() or _size(self._path) >= self._max_bytes:
            self._path, self._pid = self._new_path(), os.getpid()
        size = _size(self._path)
        # Only the owner may read: the rows may be personal data.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for lines in parts:
                written = os.write(file, lines)
                while written < len(lines):
                    written += os.write(file, lines[written:])
        except BaseException:
            # All parts will be written again, so remove the first ones.
            with contextlib.suppress(OSError):
                os.ftruncate(file, size)
            raise
        finally:
            os.close(file)

    def _write_frames(self, records: Sequence[PredictionRecord], redact: Collection[str]) -> None:
        # Versions of a model may have outputs of different types.
        by_model: dict[tuple[str, str], list[PredictionRecord]] = {}
        for record in records:
            by_model.setdefault((record.deployment, record.version), []).append(record)
        temporary: list[tuple[Path, Path]] = []
        try:
            for (deployment, _), group in by_model.items():
                path = self._new_path(re.sub(r"[^\w.-]", "_", deployment))
                temporary.append((path.with_suffix(_UNFINISHED), path))
                os.close(os.open(temporary[-1][0], os.O_WRONLY | os.O_CREAT, 0o600))
                _to_frame(group, redact).write_parquet(temporary[-1][0])
            for finished, path in temporary:
                finished.replace(path)
        except BaseException:
            for unfinished, _ in temporary:
                unfinished.unlink(missing_ok=True)
            raise

    def _new_path(self, deployment: str = "") -> Path:
        parts = [
            f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}",
            deployment,
            str(os.getpid()),
            str(next(self._numbers)),
        ]
        return self._folder / f"{'-'.join(filter(None, parts))}{self._suffix}"

    def _delete_abandoned(self) -> None:
        """Delete the unfinished Parquet files of killed processes.

        They contain rows, but cannot be read. If a process is still writing such a file, its write fails and
        is retried.
        """
        for path in self._folder.glob(f"*T*-*{_UNFINISHED}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                    path.unlink()

    def _delete_oldest(self) -> None:
        if self._max_files is not None:
            for path in sorted(self._folder.glob(f"*{self._suffix}"))[: -self._max_files]:
                path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _to_frame(records: Sequence[PredictionRecord], redact: Collection[str]) -> "polars.DataFrame":
    """Return the log entries of *records* as a data frame.

    Each input column, output and class has a column. The types depend on the schema alone, so that all files
    of a deployment can be read together.
    """
    import polars

    types: dict[str, Any] = {
        "row": polars.Int64,
        "time": polars.Datetime("us", "UTC"),
        "seconds": polars.Float64,
        "hypothetical": polars.Boolean,
    }
    for record in records:
        for name, kind in record.table.kinds.items():
            types[f"input.{name}"] = {
                "number": polars.Float64,
                "integer": polars.Int64,
                "boolean": polars.Boolean,
            }.get(kind, polars.String)
        for output in record.prediction.outputs:
            is_number = output.classes is None and output.values.dtype.kind in "iuf"
            types[f"prediction.{output.name}"] = polars.Float64 if is_number else polars.String
    frames = []
    try:
        for entries in entry_batches(records, redact):
            rows = list(map(_flatten, entries))
            schema = {
                name: types.get(name, polars.Float64 if name.startswith("probability.") else polars.String)
                for name in dict.fromkeys(name for row in rows for name in row)
            }
            for row in rows:
                for name, value in row.items():
                    if value is not None and schema[name] == polars.String and not isinstance(value, str):
                        row[name] = msgspec.json.encode(value, enc_hook=str).decode().strip('"')
            frames.append(polars.DataFrame(rows, schema=schema, orient="row"))
        return polars.concat(frames, how="diagonal") if frames else polars.DataFrame()
    except polars.exceptions.PolarsError as error:
        raise ValueError("the records do not have the types of their schema") from error


def _flatten(entry: dict[str, Any]) -> dict[str, Any]:
    inputs, predictions, probabilities = (
        entry.pop(name) for name in ("input", "prediction", "probabilities")
    )
    return {
        **entry,
        **{f"input.{name}": value for name, value in (inputs or {}).items()},
        **{f"prediction.{name}": value for name, value in predictions.items()},
        **{
            f"probability.{name}.{label}": value
            for name, by_class in probabilities.items()
            for label, value in by_class.items()
        },
    }
