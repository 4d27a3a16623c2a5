"""Checkpoint to resume scoring a file. It is stored next to the output file until all rows are done."""

from pathlib import Path

import msgspec

from ..errors import ConfigurationError

__all__ = ["Checkpoint", "checkpoint_path", "unfinished_path"]


class Checkpoint(msgspec.Struct, kw_only=True):
    """Progress of scoring a file.

    Args:
        target: Command-line options that select the deployment, such as ``--url https://host/ml/churn``.
        chunk: Maximum number of rows that are scored together.
        keep: Input columns that are copied to the output.
        offset: Number of input bytes that have been processed.
        digest: SHA-256 of the input up to *offset*, in hexadecimal.
        line: Line number of the first input row that has not been processed.
        output: Number of bytes written to the output.
        errors: Number of bytes written to the file of rejected rows.
        scored: Number of scored rows.
        refused: Number of rejected rows.
        header: Header of the output; None until a row has been scored.
        versions: Model versions that scored the rows.
        replace: Whether rows that a table has at the end of the run are replaced.
        transaction: Id of the transaction that loads the rows into a table; empty until there is one.
    """

    target: str
    chunk: int
    keep: list[str] = []
    offset: int = 0
    digest: str = ""
    line: int = 1
    output: int = 0
    errors: int = 0
    scored: int = 0
    refused: int = 0
    header: bytes | None = None
    versions: list[str] = []
    replace: bool = False
    transaction: str = ""

    @property
    def rows(self) -> int:
        """Number of processed rows, both scored and rejected."""
        return self.scored + self.refused

    def save(self, path: Path) -> None:
        """Write the checkpoint to *path* atomically."""
        unfinished = unfinished_path(path)
        unfinished.write_bytes(msgspec.json.encode(self))
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint | None":
        """Return the checkpoint stored at *path*, or None if there is none.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error}): start over with --overwrite"
            ) from None


def checkpoint_path(output: Path) -> Path:
    """Return the path of the checkpoint file for the output file *output*."""
    return output.with_name(output.name + ".checkpoint")


def unfinished_path(checkpoint: Path) -> Path:
    """Return the path to which a new *checkpoint* is written before it replaces the old one."""
    return checkpoint.with_name(checkpoint.name + ".new")
