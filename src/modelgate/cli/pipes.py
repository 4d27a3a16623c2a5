"""Use standard input and output instead of files in ``modelgate score``."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from ..bulk.checkpoint import Checkpoint
from ..bulk.csv_file import CSVFile, open_csv
from ..bulk.output import Output, Passthrough
from ..bulk.source import open_rows
from ..errors import ConfigurationError
from .output_tables import escape

__all__ = ["PIPE", "PipeOutput", "StandardOutput", "check_streams", "open_input", "stdin_descriptor"]

PIPE = Path("-")


def check_streams(path: Path | str, output: Path | str) -> None:
    """Raise `ConfigurationError` if *path* or *output* is `PIPE`, but the standard stream is closed."""
    for used, name, stream in ((path, "input", sys.stdin), (output, "output", sys.stdout)):
        if used == PIPE and stream is None:
            raise ConfigurationError(
                f"standard {name} must be open (got a closed one): pass a file instead of -"
            )


def stdin_descriptor() -> int | None:
    """Return the file descriptor of standard input, or None if standard input is an object in memory."""
    try:
        return sys.stdin.fileno()
    except io.UnsupportedOperation:
        return None


@contextmanager
def open_input(path: Path | str, query: str | None) -> Iterator[CSVFile]:
    """Open the rows of the file, URL or *query*, or the rows of standard input if *path* is `PIPE`."""
    with ExitStack() as stack:
        if path != PIPE:
            yield stack.enter_context(open_rows(path, query))
            return
        descriptor = stdin_descriptor()
        file: BinaryIO = sys.stdin.buffer
        if descriptor is not None:
            # Unbuffered: the interpreter aborts at exit if a thread is blocked in the buffer of sys.stdin.
            file = stack.enter_context(open(descriptor, "rb", buffering=0, closefd=False))
        yield stack.enter_context(open_csv(file, "standard input", None))


class _StandardError(io.RawIOBase):
    """Stream that writes lines to standard error, with control characters escaped."""

    def writable(self) -> bool:
        return True

    def write(self, text: bytes) -> int:  # type: ignore[override]
        click.echo("\n".join(map(escape, text.decode().splitlines())), err=True)
        return len(text)


class PipeOutput(Output):
    """Output that writes predictions to standard output, and rejected rows to standard error.

    Rows are written as soon as they are scored. The run cannot be resumed.
    """

    def start(self) -> None:
        """Do nothing."""

    def open_errors(self) -> BinaryIO:
        """Return standard error."""
        return _StandardError()  # type: ignore[return-value]

    def save(self) -> None:
        """Do nothing, because the run cannot be resumed."""

    def finish(self, on_upload: Callable[[float], None]) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class StandardOutput:
    """Results that are written to standard output and standard error; see `RunOutput`.

    Args:
        done: Checkpoint, which is updated as rows are scored, and never stored.
    """

    done: Checkpoint
    name = "standard output"
    errors_name = "standard error"

    def open(self, passthrough: Passthrough) -> PipeOutput:
        """Return the output to which the predictions and the columns *passthrough* are written."""
        return PipeOutput(sys.stdout.buffer, self.done, passthrough)
