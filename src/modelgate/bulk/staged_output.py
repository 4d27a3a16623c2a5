"""Output that is written to local files, and uploaded when it is complete."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..client.score_rows import ScoredRows
from .checkpoint import Checkpoint, checkpoint_path
from .destination import Destination
from .input import Chunk
from .location import exists, hide_password, is_database, is_url, local_file
from .option_error import OptionError
from .output import FileOutput, Passthrough
from .remote_file import RemoteFile

__all__ = ["StagedOutput", "prepare_output"]


def prepare_output(
    path: str | Path, output: str | Path, fresh: Checkpoint
) -> tuple[Destination | None, Path]:
    """Return the destination and the local file to write. If nothing is uploaded, the destination is None.

    Args:
        path: Input file or URL.
        output: Output file or URL.
        fresh: Checkpoint at the start of the run.

    Raises:
        ConfigurationError: The URL is not valid, options contradict each other, or the remote file *output*
            is the input or exists. An existing file is accepted if *fresh* replaces it, or if there is an
            unfinished run to resume.
        StoreError: The storage failed.
    """
    _check_table(output, fresh)
    if fresh.table is not None:
        from .database_table import DatabaseTable

        database = DatabaseTable(str(output), fresh.table, appends=fresh.append)
        return database, database.staging
    if not is_url(output):
        return None, Path(output)
    source, target = local_file(path), local_file(output)
    if path == output or (source and target and exists(source) and source.samefile(target)):
        raise OptionError(
            "{file} is the input and would be overwritten: choose another {output}", file=hide_password(path)
        )
    remote = RemoteFile(str(output))
    if not fresh.replace and not exists(checkpoint_path(remote.staging)):
        remote.check_absent()
    return remote, remote.staging


def _check_table(output: str | Path, fresh: Checkpoint) -> None:
    if is_database(output) and fresh.table is None:
        raise OptionError("{table} must be set to write predictions to a database")
    if fresh.table is None:
        if fresh.append:
            raise OptionError("{append} needs {table}")
        return
    if not is_database(output):
        raise OptionError(
            "{table} needs the URL of a database as {output}, sqlite:///… or postgresql://… (got {url})",
            url=hide_password(output),
        )
    if fresh.append and fresh.replace:
        raise OptionError("{append} must not be set with {overwrite}")
    if not fresh.keep:
        raise OptionError(
            "{passthrough} must name columns that identify a row, such as id, because rows of a table have no order"
        )


class StagedOutput(FileOutput):
    """Output that is written to local files, and uploaded when it is complete.

    Object storage cannot append to a file, and readers of a table should see all rows or none.

    Args:
        file: Local predictions file, open for appending.
        destination: Destination of the upload.
        done: Checkpoint to continue from.
        passthrough: Input columns to copy to the output.
    """

    def __init__(
        self, file: BinaryIO, destination: Destination, done: Checkpoint, passthrough: Passthrough
    ) -> None:
        super().__init__(file, destination.staging, done, passthrough)
        self._destination = destination
        self._is_checked = False

    def add(self, chunk: Chunk, scored: ScoredRows) -> None:
        if scored.header is not None and not self._is_checked:
            self._destination.check_columns(self._passthrough.header + scored.header, self.done)
            self._is_checked = True
        super().add(chunk, scored)

    def finish(self, on_upload: Callable[[float], None]) -> None:
        """Upload the local files, then delete them and the checkpoint.

        Raises:
            StoreError: The storage or the database failed. The next run repeats the upload.
        """
        self.start()
        self._pending_cells.clear()  # No row was scored, so a resumed run does not need them either.
        staging = self._destination.staging
        on_upload(0.0)
        self._destination.upload(self.done, self.save, on_upload)
        on_upload(1.0)
        self._files.close()
        self._output.close()  # Windows cannot delete an open file.
        finished = staging.parent.with_name(f"{staging.parent.name}.finished")
        shutil.rmtree(finished, ignore_errors=True)
        # Renamed first, because a run cannot be resumed from a part of the files.
        staging.parent.rename(finished)
        shutil.rmtree(finished)
        self._destination.forget(self.done)
