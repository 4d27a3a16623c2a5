"""Output files of a scoring run: predictions and rejected rows in input order, and the checkpoint."""

import codecs
import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import Any, BinaryIO, Self

from ..client.rows import Lines
from ..client.score_rows import RejectedRow, ScoredRows
from ..codecs.csv_records import format_records
from ..errors import ConfigurationError
from ..spelling import closest_match
from .checkpoint import Checkpoint, checkpoint_path, unfinished_path
from .csv_file import COMPRESSED_SUFFIXES
from .input import Chunk
from .option_error import OptionError

try:
    import fcntl
except ImportError:  # Windows, where concurrent runs on one output are not detected.
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "FileOutput",
    "Output",
    "Passthrough",
    "check_paths",
    "errors_path",
    "exclusive_lock",
    "resume_output",
]


def errors_path(output: Path) -> Path:
    """Return the path of the rejected-rows file for the predictions file *output*."""
    return output.with_name(f"{output.stem}.errors{output.suffix}")


def check_paths(source: Path | int | None, output: Path) -> None:
    """Check the input and output paths of a run.

    Args:
        source: Path of the input file, or file descriptor of standard input; None if the input is a URL.
        output: Path of the predictions file.

    Raises:
        ConfigurationError: *source* or an output file is not a regular file, an output file is the input
            file, *output* has no name or the suffix of a compressed file, or a path cannot be used.
    """
    read = os.fstat(source) if isinstance(source, int) else None if source is None else _status(source)
    if isinstance(source, Path) and (read is None or not S_ISREG(read.st_mode)):
        raise OptionError(
            "{file} must be a regular file, because a resumed run reads it again: to score a pipe, run"
            " modelgate score - and connect the pipe to standard input",
            file=source,
        )
    if output.suffix.lower() in COMPRESSED_SUFFIXES:
        raise OptionError(
            "{output} must not end in {suffix} (got {file}): the predictions are not compressed",
            suffix=output.suffix,
            file=output,
        )
    if not output.name:
        raise OptionError("{output} must be a file (got {file!r})", file=str(output))
    checkpoint = checkpoint_path(output)
    for path in (output, errors_path(output), checkpoint, unfinished_path(checkpoint)):
        written = _status(path)
        if written is not None and not S_ISREG(written.st_mode):
            raise OptionError("{file} must be a regular file: choose another {output}", file=path)
        if written is not None and read is not None and os.path.samestat(written, read):
            raise OptionError(
                "{file} is the input and would be overwritten: choose another {output}", file=path
            )


def _status(path: Path) -> os.stat_result | None:
    """Return the status of the file at *path*, or None if there is no such file."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be used: {getattr(error, 'strerror', error)}"
        ) from None


@contextmanager
def exclusive_lock(path: Path, *, creates_folder: bool = False) -> Iterator[BinaryIO]:
    """Open the file at *path* for appending, with a lock that excludes other runs.

    If the run creates the file, but fails before writing to it, the file is deleted.

    Args:
        path: Path of the file.
        creates_folder: Whether to create the folder of the file, and to delete it with the file.

    Raises:
        ConfigurationError: The file cannot be opened, or another run holds the lock.
    """
    if creates_folder:
        path.parent.mkdir(exist_ok=True)
    existed = path.exists()
    with _open_for_appending(path) as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Another run may have deleted the file before it released the lock.
                is_locked = path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))
            except BlockingIOError:
                is_locked = False
            if not is_locked:
                raise OptionError(
                    "{file} is being written by another run: choose another {output}", file=path
                )
        try:
            yield file
        except BaseException:
            is_new = not existed and path.exists() and not checkpoint_path(path).exists()
            if is_new and not path.stat().st_size:
                if fcntl is None:
                    file.close()  # Windows cannot delete an open file.
                path.unlink()
                if creates_folder:
                    path.parent.rmdir()
            raise


def _open_for_appending(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except FileNotFoundError:
        raise OptionError(
            "The folder {folder} does not exist: create it, or choose another {output}", folder=path.parent
        ) from None
    except OSError as error:
        raise OptionError(
            "{file} cannot be written ({reason}): choose another {output}", file=path, reason=error.strerror
        ) from None


def resume_output(fresh: Checkpoint, output: Path) -> Checkpoint:
    """Return the checkpoint of the unfinished run that wrote *output*, or *fresh* if there is no such run.

    Raises:
        ConfigurationError: The output is complete, or it belongs to a run with other options.
    """
    stored = Checkpoint.load(checkpoint_path(output))
    if stored is None:
        for path in (output, errors_path(output)):
            if path.exists() and path.stat().st_size:
                raise OptionError(
                    "{file} already exists: choose another {output}, or pass {overwrite}", file=path
                )
        return fresh
    if stored.options != fresh.options:
        raise OptionError(
            "{file} was started with {options}: resume with these options, or start over with {overwrite}",
            stored.options,
            file=output,
        )
    return stored


class Passthrough:
    """Passthrough columns: input columns that are copied to the output, before the predictions.

    Args:
        header: Header line of the input.
        names: Names of the columns.

    Attributes:
        header: Column names, each followed by a comma.

    Raises:
        ConfigurationError: The input lacks one of the columns.
    """

    def __init__(self, header: bytes, names: Sequence[str]) -> None:
        columns = _split(header.removeprefix(codecs.BOM_UTF8), "utf-8")
        for name in names:
            if name not in columns:
                match = closest_match(name, columns)
                hint = (
                    f"did you mean {match}?"
                    if match is not None
                    else f"choose from {', '.join(columns[:20])}"
                )
                raise OptionError(
                    "{passthrough} must be a column of the file (got {name!r}): {hint}", name=name, hint=hint
                )
        self._positions = [columns.index(name) for name in names]
        self.header = self.copy(header.removeprefix(codecs.BOM_UTF8))

    def __bool__(self) -> bool:
        return bool(self._positions)

    def copy(self, record: bytes) -> bytes:
        """Return the passthrough cells of *record*, each followed by a comma. Missing cells become empty."""
        if not self._positions:
            return b""
        # Latin-1 leaves every byte as it is: the record may have been rejected because it is not UTF-8.
        cells = _split(record, "latin-1")
        copied = [cells[index] if index < len(cells) else "" for index in self._positions]
        return format_records([[*copied, "-"]]).encode("latin-1").removesuffix(b"-\n")


class Output(ABC):
    """Base class for the output of a run: predictions, with one line per row, and rejected rows.

    A rejected row has empty cells in the predictions file, and a line in the rejected-rows file.

    Args:
        file: Predictions file, open for appending.
        done: Checkpoint to continue from.
        passthrough: Input columns to copy to the output.
    """

    def __init__(self, file: BinaryIO, done: Checkpoint, passthrough: Passthrough) -> None:
        self.done = done
        self._passthrough = passthrough
        # Copied cells of rows that were rejected before the header of the predictions was known.
        self._pending_cells: list[bytes] = []
        self._output = file
        self._errors: BinaryIO | None = None
        self._files = ExitStack()
        self._is_started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    @abstractmethod
    def start(self) -> None:
        """Prepare the output for writing. Only the first call has an effect."""

    @abstractmethod
    def open_errors(self) -> BinaryIO:
        """Return the rejected-rows file, open for appending."""

    @abstractmethod
    def save(self) -> None:
        """Store the checkpoint."""

    @abstractmethod
    def finish(self, on_upload: Callable[[float], None]) -> None:
        """Clean up after the last chunk has been written.

        Args:
            on_upload: Function called with the completed fraction of an upload, from 0 to 1.
        """

    def add(self, chunk: Chunk, scored: ScoredRows) -> None:
        """Write the results of *chunk*, and save the checkpoint.

        Raises:
            OptionError: The output columns differ from those of earlier chunks.
        """
        self.start()
        # `Lines` contains no rejected row.
        results = () if isinstance(scored.results, Lines) else scored.results
        rejected = [
            (index, result) for index, result in enumerate(results) if isinstance(result, RejectedRow)
        ]
        self.done.output += self._output.write(b"".join(self._lines(chunk, scored)))
        self._output.flush()
        if rejected:
            self._write_errors(chunk, rejected)
        self.done.refused += len(rejected)
        self.done.scored += len(scored.results) - len(rejected)
        self.done.versions += sorted(scored.versions.difference(self.done.versions))
        self.done.offset, self.done.digest, self.done.line = chunk.offset, chunk.digest, chunk.line
        self.save()

    def _lines(self, chunk: Chunk, scored: ScoredRows) -> Iterator[bytes]:
        """Yield the output line of each row of *chunk*. A rejected row gets a line of empty cells."""
        if scored.header is not None and self.done.header is None:
            self.done.header = scored.header
            yield self._passthrough.header + scored.header
            # The rows rejected so far get their empty lines now: only the header shows how many cells they
            # need.
            empty = _empty_line(scored.header)
            yield from (cells + empty for cells in self._pending_cells or [b""] * self.done.refused)
        elif scored.header not in (None, self.done.header):
            raise OptionError(
                "The output columns have changed, because the model was replaced during the run: start over with"
                " {overwrite}"
            )
        if isinstance(scored.results, Lines) and not self._passthrough:
            yield scored.results.raw
            return
        copied = map(self._passthrough.copy, chunk.rows.data)
        if self.done.header is not None:
            empty = _empty_line(self.done.header)
            for cells, result in zip(copied, scored.results, strict=True):
                yield cells + (empty if isinstance(result, RejectedRow) else result)
        elif self._passthrough:
            self._pending_cells.extend(copied)

    def _write_errors(self, chunk: Chunk, rejected: list[tuple[int, RejectedRow]]) -> None:
        records: list[Sequence[Any]] = []
        if self._errors is None:
            self._errors = self.open_errors()
            records.append(["line", "reason", "row"])
        for index, reason in rejected:
            row = chunk.rows.data[index].rstrip(b"\r\n").decode("utf-8", "replace")
            records.append([chunk.lines[index], reason, row])
        self.done.errors += self._errors.write(format_records(records).encode())
        self._errors.flush()


class FileOutput(Output):
    """Output to local files. A later run can resume an unfinished run.

    Existing files are not changed until the first rows have been scored.

    Args:
        file: Predictions file, open for appending.
        path: Path of the predictions file.
        done: Checkpoint to continue from. Anything in the files beyond the checkpoint is replaced.
        passthrough: Input columns to copy to the output.

    Raises:
        ConfigurationError: A file is shorter than the checkpoint states.
    """

    def __init__(self, file: BinaryIO, path: Path, done: Checkpoint, passthrough: Passthrough) -> None:
        super().__init__(file, done, passthrough)
        self._fresh = Checkpoint(
            target=done.target,
            chunk=done.chunk,
            keep=done.keep,
            table=done.table,
            append=done.append,
            replace=done.replace,
        )
        self._checkpoint = checkpoint_path(path)
        self._errors_path = errors_path(path)
        for written, size in ((path, done.output), (self._errors_path, done.errors)):
            if size and (not written.exists() or written.stat().st_size < size):
                raise OptionError(
                    "{file} is shorter than at the end of the last run: start over with {overwrite}",
                    file=written,
                )

    def start(self) -> None:
        """Truncate the files to the sizes in the checkpoint.

        If the run starts over, delete the old checkpoint.
        """
        if self._is_started:
            return
        self._is_started = True
        if not self.done.offset:
            self._checkpoint.unlink(missing_ok=True)
        self._output.truncate(self.done.output)
        if self.done.errors:
            self._errors = self.open_errors()
        else:
            self._errors_path.unlink(missing_ok=True)

    def open_errors(self) -> BinaryIO:
        """Open the rejected-rows file for appending."""
        file = self._files.enter_context(self._errors_path.open("ab"))
        file.truncate(self.done.errors)
        return file

    def save(self) -> None:
        """Write the checkpoint to its file."""
        # The checkpoint does not contain pending cells. Until they are written, an empty checkpoint is stored,
        # so that a resumed run starts over.
        resumable = self.done if not self._pending_cells or self.done.header is not None else self._fresh
        resumable.save(self._checkpoint)

    def finish(self, on_upload: Callable[[float], None]) -> None:  # noqa: ARG002  nothing is uploaded
        """Delete the checkpoint, because the run is complete."""
        self.start()
        self._checkpoint.unlink(missing_ok=True)


def _split(record: bytes, encoding: str) -> list[str]:
    return next(csv.reader(io.StringIO(record.decode(encoding, "replace"), newline="")), [])


def _empty_line(header: bytes) -> bytes:
    cells = len(_split(header, "utf-8"))
    # Most CSV readers skip an empty line, so a single empty cell is quoted.
    return b"," * (cells - 1) + b"\n" if cells > 1 else b'""\n'
