"""Store request bodies in a temporary file until there is memory for them."""

from collections.abc import Iterable
from tempfile import TemporaryFile

__all__ = ["SPOOL_SIZE", "SpooledBody"]

SPOOL_SIZE = 1024 * 1024
"""Size in bytes above which a body is stored in a file. Under ASGI, also the size of the written parts."""


class SpooledBody:
    """Request body in a temporary file.

    Attributes:
        size: Size in bytes.
    """

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115  closed by `load`, or at the end of the request
        self.size = 0

    def write(self, parts: Iterable[bytes]) -> None:
        """Append *parts*."""
        for part in parts:
            self._file.write(part)
            self.size += len(part)

    def load(self) -> bytes:
        """Return the body, and delete the file."""
        with self._file:
            self._file.seek(0)
            return self._file.read(self.size)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
