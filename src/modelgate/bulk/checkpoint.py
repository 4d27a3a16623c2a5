"""Checkpoint to resume scoring a file. It is stored next to the output file until all rows are done."""

from pathlib import Path

import msgspec

from .option_error import OptionError

__all__ = ["Checkpoint", "checkpoint_path", "unfinished_path"]


class Checkpoint(msgspec.Struct, kw_only=True):
    """Progress of scoring a file.

    Args:
        target: Options that select the deployment and its predictions, such as
            ``{"url": "https://host/ml/churn"}``. Options that are None are not set.
        chunk: Maximum number of rows that are scored together.
        keep: Input columns that are copied to the output.
        table: Name of the table of the predictions; None for a file.
        append: Whether rows are added to those of *table*.
        offset: Number of input bytes that have been processed.
        digest: SHA-256 of the input up to *offset*, in hexadecimal.
        line: Line number of the first input row that has not been processed.
        output: Number of bytes written to the output.
        errors: Number of bytes written to the file of rejected rows.
        scored: Number of scored rows.
        refused: Number of rejected rows.
        header: Header of the output; None until a row has been scored.
        versions: Model versions that scored the rows.
        replace: Whether existing output is replaced. Rows of a table are replaced at the end of the run.
        transaction: Id of the transaction that loads the rows into a table; empty before the transaction.
    """

    target: dict[str, str | None]
    chunk: int
    keep: list[str] = []
    table: str | None = None
    append: bool = False
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
    def options(self) -> dict[str, object]:
        """Options that must be the same in a resumed run."""
        options = {
            **self.target,
            "table": self.table,
            "append": self.append,
            "batch_rows": self.chunk,
            "passthrough": self.keep,
        }
        return {name: value for name, value in options.items() if value}

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
            OptionError: The file cannot be read.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise OptionError(
                "{file} cannot be read ({error}): start over with {overwrite}", file=path, error=error
            ) from None


def checkpoint_path(output: Path) -> Path:
    """Return the path of the checkpoint file for the output file *output*."""
    return output.with_name(output.name + ".checkpoint")


def unfinished_path(checkpoint: Path) -> Path:
    """Return the path to which a new *checkpoint* is written before it replaces the old one."""
    return checkpoint.with_name(checkpoint.name + ".new")
