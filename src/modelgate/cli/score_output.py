"""The predictions and the refused rows of a file, written in its order and never ahead of the checkpoint."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ..client.errors import UnexpectedAnswer
from ..client.scored import Refused, Scored
from ..errors import ConfigurationError
from .checkpoint import Checkpoint, checkpoint_path
from .score_input import Chunk

__all__ = ["Output", "errors_path"]


def errors_path(output: Path) -> Path:
    """Where the refused rows of *output* are."""
    return output.with_name(f"{output.stem}.errors{output.suffix}")


class Output:
    """What is written: a line of predictions for each row, and a file of the rows that were refused.

    Args:
        path: of the predictions.
        done: how far both are; what was written beyond that is written anew.

    Raises:
        ConfigurationError: there is less than that.
    """

    def __init__(self, path: Path, done: Checkpoint) -> None:
        self.done = done
        self._checkpoint = checkpoint_path(path)
        if not done.offset:
            self._checkpoint.unlink(missing_ok=True)
        self._files = ExitStack()
        self._output = self._opened(path, done.output)
        self._errors_path = errors_path(path)
        self._errors: BinaryIO | None = None
        if done.errors:
            self._errors = self._opened(self._errors_path, done.errors)
        else:
            self._errors_path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def _opened(self, path: Path, size: int) -> BinaryIO:
        if size and (not path.exists() or path.stat().st_size < size):
            raise ConfigurationError(f"{path} has lost rows that were scored: --overwrite begins anew")
        file = self._files.enter_context(path.open("r+b" if size else "wb"))
        file.truncate(size)
        file.seek(0, os.SEEK_END)
        return file

    def add(self, chunk: Chunk, told: Scored) -> None:
        """Write what became of *chunk*, and then that it is done.

        Raises:
            UnexpectedAnswer: its columns are not those of the chunks before.
        """
        refused = [(at, result) for at, result in enumerate(told.results) if isinstance(result, Refused)]
        self.done.output += self._output.write(b"".join(self._lines(told)))
        self._output.flush()
        if refused:
            self._refuse(chunk, refused)
        self.done.refused += len(refused)
        self.done.scored += len(told.results) - len(refused)
        self.done.offset, self.done.digest, self.done.line = chunk.offset, chunk.digest, chunk.line
        self.done.save(self._checkpoint)

    def finish(self) -> None:
        """All is done: there is nothing to go on with."""
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
            self._errors = self._opened(self._errors_path, 0)
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
