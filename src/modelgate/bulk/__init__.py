"""Score large files and Ray datasets with processes on one machine or with Ray."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset import score_dataset
    from .files import ScoredFile, score_file

__all__ = ["ScoredFile", "score_dataset", "score_file"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line imports other modules of this package without the gate.
    if name in __all__:
        module = "dataset" if name == "score_dataset" else "files"
        return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
