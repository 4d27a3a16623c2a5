"""Destinations to which predictions are uploaded when a scoring run is complete."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from .checkpoint import Checkpoint

__all__ = ["Destination"]


class Destination(ABC):
    """Base class for destinations.

    Attributes:
        name: Name of the predictions to show.
        errors_name: Name of the rejected rows to show.
        staging: Path of the local file to which predictions are written until the run is complete. Its folder
            has no other files.
    """

    name: str
    errors_name: str
    staging: Path

    @abstractmethod
    def check_columns(self, header: bytes, done: Checkpoint) -> None:
        """Check whether predictions with the header line *header* can be uploaded.

        Args:
            header: Header line of the predictions.
            done: Checkpoint of the run.

        Raises:
            ConfigurationError: The predictions cannot be uploaded, for example because of a column name.
        """

    @abstractmethod
    def upload(
        self, done: Checkpoint, save: Callable[[], None], on_progress: Callable[[float], None]
    ) -> None:
        """Upload the local files.

        Args:
            done: Checkpoint of the complete run.
            save: Function that stores the checkpoint.
            on_progress: Function called with the completed fraction of the upload, from 0 to 1.

        Raises:
            StoreError: The storage or the database failed. The next run repeats the upload.
        """

    @abstractmethod
    def forget(self, done: Checkpoint) -> None:
        """Delete what `upload` has recorded about the run. Call this after the local files are deleted."""
