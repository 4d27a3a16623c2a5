"""How far a file has been scored, kept beside the output until all of it is."""

from pathlib import Path

import msgspec

from ..errors import ConfigurationError

__all__ = ["Checkpoint", "checkpoint_path"]


class Checkpoint(msgspec.Struct, kw_only=True):
    """How far a file has been scored.

    Args:
        url: of the deployment that was asked.
        chunk: the most rows of one request.
        offset: the bytes of the input that are done.
        digest: SHA-256 of these, in hexadecimal.
        line: of the input where the rest begins.
        output: the bytes of the output so far.
        errors: the bytes of the file of refused rows so far.
        scored: how many rows were scored.
        refused: how many were not.
        header: of the output; None while no row was scored.
        versions: of the models that scored.
    """

    url: str
    chunk: int
    offset: int = 0
    digest: str = ""
    line: int = 1
    output: int = 0
    errors: int = 0
    scored: int = 0
    refused: int = 0
    header: bytes | None = None
    versions: list[str] = []

    @property
    def rows(self) -> int:
        """How many are done."""
        return self.scored + self.refused

    def save(self, path: Path) -> None:
        """Write it to *path*, whole or not at all."""
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_bytes(msgspec.json.encode(self))
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint | None":
        """The one at *path*; None where there is none.

        Raises:
            ConfigurationError: it cannot be read.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigurationError(f"{path} cannot be read ({error}): --overwrite begins anew") from None


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of *output* is."""
    return output.with_name(output.name + ".checkpoint")
