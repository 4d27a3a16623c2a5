"""The predictions and the refused rows of a file, written in its order and never ahead of the checkpoint."""

import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ..client.errors import UnexpectedAnswer
from ..client.scored import Refused, Scored
from ..errors import ConfigurationError
from .checkpoint import Checkpoint, checkpoint_path
from .csv_file import COMPRESSED_SUFFIXES
from .score_input import Chunk

try:
    import fcntl
except ImportError:  # of Windows: there nothing tells that two runs write one file
    fcntl = None  # type: ignore[assignment]

__all__ = ["Output", "alone", "begun", "check_paths", "errors_path"]


def errors_path(output: Path) -> Path:
    """Where the refused rows of *output* are."""
    return output.with_name(f"{output.stem}.errors{output.suffix}")


def check_paths(source: Path, output: Path) -> None:
    """Refuse to read what is no file, or to write to what is read.

    Raises:
        ConfigurationError: *source* is no regular file, or *output* or what stands beside it cannot be written.
    """
    if not source.is_file():
        raise ConfigurationError(f"{source} is no regular file: what is gone on with later is read again")
    if output.suffix.lower() in COMPRESSED_SUFFIXES:
        raise ConfigurationError(
            f"--output must not end in {output.suffix} (got {output}): it is not compressed"
        )
    for path in (output, errors_path(output), checkpoint_path(output)):
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{path} is no regular file: take another --output")
        if path.exists() and path.samefile(source):
            raise ConfigurationError(
                f"{path} would be written over, and is what is scored: take another --output"
            )


@contextmanager
def alone(path: Path) -> Iterator[BinaryIO]:
    """The file at *path* to append to; what is in it stays, and no other run has it meanwhile.

    Raises:
        ConfigurationError: another run has it.
    """
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(f"{path} is being written by another run of the command") from None
        yield file


def begun(anew: Checkpoint, output: Path) -> Checkpoint:
    """How far the work is that is there already.

    Raises:
        ConfigurationError: it is done, or is another work.
    """
    there = Checkpoint.load(checkpoint_path(output))
    if there is None:
        for path in (output, errors_path(output)):
            if path.exists() and path.stat().st_size:
                raise ConfigurationError(f"{path} is there already: take another --output, or --overwrite")
        return anew
    if (there.url, there.chunk) != (anew.url, anew.chunk):
        raise ConfigurationError(
            f"{output} was begun with --to {there.url} --rows {there.chunk}: go on so, or --overwrite"
        )
    return there


class Output:
    """What is written: a line of predictions for each row, and a file of the rows that were refused.

    Nothing is changed before the first rows are answered.

    Args:
        file: of the predictions, to append to.
        path: of it.
        done: how far both are; what was written beyond that is written anew.

    Raises:
        ConfigurationError: there is less than that.
    """

    def __init__(self, file: BinaryIO, path: Path, done: Checkpoint) -> None:
        self.done = done
        self._output = file
        self._checkpoint = checkpoint_path(path)
        self._errors_path = errors_path(path)
        self._errors: BinaryIO | None = None
        self._files = ExitStack()
        self._is_begun = False
        for written, size in ((path, done.output), (self._errors_path, done.errors)):
            if size and (not written.exists() or written.stat().st_size < size):
                raise ConfigurationError(f"{written} has lost rows that were scored: --overwrite begins anew")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def _begin(self) -> None:
        """Take away what was written beyond what is done; the checkpoint of another work first."""
        if self._is_begun:
            return
        self._is_begun = True
        if not self.done.offset:
            self._checkpoint.unlink(missing_ok=True)
        self._output.truncate(self.done.output)
        if self.done.errors:
            self._errors = self._opened_errors()
        else:
            self._errors_path.unlink(missing_ok=True)

    def _opened_errors(self) -> BinaryIO:
        file = self._files.enter_context(self._errors_path.open("ab"))
        file.truncate(self.done.errors)
        return file

    def add(self, chunk: Chunk, told: Scored) -> None:
        """Write what became of *chunk*, and then that it is done.

        Raises:
            UnexpectedAnswer: its columns are not those of the chunks before.
        """
        self._begin()
        refused = [(at, result) for at, result in enumerate(told.results) if isinstance(result, Refused)]
        self.done.output += self._output.write(b"".join(self._lines(told)))
        self._output.flush()
        if refused:
            self._refuse(chunk, refused)
        self.done.refused += len(refused)
        self.done.scored += len(told.results) - len(refused)
        self.done.versions += sorted(told.versions.difference(self.done.versions))
        self.done.offset, self.done.digest, self.done.line = chunk.offset, chunk.digest, chunk.line
        self.done.save(self._checkpoint)

    def finish(self) -> None:
        """All is done: there is nothing to go on with."""
        self._begin()
        self._checkpoint.unlink(missing_ok=True)

    def _lines(self, told: Scored) -> Iterator[bytes]:
        """Lines to write: a row that was refused has one too, with nothing in its cells."""
        if told.header is not None and self.done.header is None:
            self.done.header = told.header
            yield told.header
            # Those before the first row that was scored waited for the number of cells.
            yield _empty(told.header) * self.done.refused
        elif told.header not in (None, self.done.header):
            raise UnexpectedAnswer(
                200,
                "The columns of the answers are no longer those they were: the model was replaced meanwhile",
            )
        if self.done.header is not None:
            empty = _empty(self.done.header)
            yield from (empty if isinstance(result, Refused) else result for result in told.results)

    def _refuse(self, chunk: Chunk, refused: list[tuple[int, Refused]]) -> None:
        text = io.StringIO(newline="")
        write = csv.writer(text, lineterminator="\n")
        if self._errors is None:
            self._errors = self._opened_errors()
            write.writerow(["line", "reason", "row"])
        for at, reason in refused:
            row = chunk.rows.data[at].rstrip(b"\r\n").decode("utf-8", "replace")
            write.writerow([chunk.lines[at], reason, row])
        self.done.errors += self._errors.write(text.getvalue().encode())
        self._errors.flush()


def _empty(header: bytes) -> bytes:
    cells = len(next(csv.reader([header.decode()])))
    # Of one cell, a line with nothing in it would be no row to most readers.
    return b"," * (cells - 1) + b"\n" if cells > 1 else b'""\n'
