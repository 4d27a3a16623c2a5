"""Check, lock and open the output of a scoring run, and resume an unfinished run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .checkpoint import Checkpoint
from .destination import Destination
from .output import FileOutput, Passthrough, check_paths, errors_path, exclusive_lock, resume_output
from .staged_output import StagedOutput, prepare_output

__all__ = ["RunOutput", "open_run_output"]


@dataclass(frozen=True)
class RunOutput:
    """Results of a scoring run.

    Args:
        file: Local predictions file, open for appending.
        path: Path of *file*.
        destination: Destination to which the files are uploaded at the end; None if nothing is uploaded.
        done: Checkpoint to continue from; updated as rows are scored.
    """

    file: BinaryIO
    path: Path
    destination: Destination | None
    done: Checkpoint

    @property
    def name(self) -> Path | str:
        """File, URL or table of the predictions."""
        return self.path if self.destination is None else self.destination.name

    @property
    def errors_name(self) -> Path | str:
        """File, URL or table of the rejected rows."""
        return errors_path(self.path) if self.destination is None else self.destination.errors_name

    def open(self, passthrough: Passthrough) -> FileOutput:
        """Return the output to which the predictions and the columns *passthrough* are written."""
        if self.destination is None:
            return FileOutput(self.file, self.path, self.done, passthrough)
        return StagedOutput(self.file, self.destination, self.done, passthrough)


@contextmanager
def open_run_output(
    path: str | Path,
    output: str | Path,
    fresh: Checkpoint,
    *,
    source: Path | int | None,
) -> Iterator[RunOutput]:
    """Check, lock and open the results of a run, and resume an unfinished run if there is one.

    Args:
        path: Input file or URL.
        output: Output file or URL.
        fresh: Checkpoint at the start of the run.
        source: Local input file, or file descriptor of standard input; None for a URL.

    Raises:
        ConfigurationError: An option or a path cannot be used, the output exists, or another run writes it.
        StoreError: The storage failed.
    """
    destination, written = prepare_output(path, output, fresh)
    check_paths(source, written)
    with exclusive_lock(written, creates_folder=destination is not None) as file:
        done = fresh if fresh.replace else resume_output(fresh, written)
        yield RunOutput(file, written, destination, done)
