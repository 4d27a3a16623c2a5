"""Standard input and output in place of the files of ``modelgate score``."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ..errors import ConfigurationError
from .output_tables import escape
from .score_output import errors_path

__all__ = ["PIPE", "as_files"]

PIPE = Path("-")


@contextmanager
def as_files(path: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """Yield *path* and *output*, each replaced by a temporary file if it is `PIPE`.

    A run needs files: its progress is stored next to the output, and a resumed run reads the input again.
    If *output* is `PIPE` and the run ends with the exit code 0 or 1, the predictions are written to standard
    output, and the rejected rows to standard error.

    Raises:
        ConfigurationError: Standard input or output is to be used, but is closed.
    """
    for replaced, name, stream in ((path, "input", sys.stdin), (output, "output", sys.stdout)):
        if replaced == PIPE and stream is None:
            raise ConfigurationError(
                f"standard {name} must be open (got a closed one): pass a file instead of -"
            )
    with TemporaryDirectory(prefix="modelgate-") as folder:
        source, predictions = Path(folder, "stdin.csv"), Path(folder, "stdout.csv")
        if path == PIPE:
            with source.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield source if path == PIPE else path, predictions if output == PIPE else output
        except click.exceptions.Exit as done:
            if output == PIPE and done.exit_code in (0, 1):
                _write_out(predictions)
            raise


def _write_out(predictions: Path) -> None:
    rejected = errors_path(predictions)
    if rejected.exists():
        click.echo("\n".join(map(escape, rejected.read_text("utf-8").splitlines())), err=True)
    with predictions.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()
