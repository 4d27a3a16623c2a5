"""The wire formats a gate speaks: one a file."""

from .base import Catalog, Dialect, Route
from .mlclever import MLClever
from .open_inference import OpenInference
from .plexe import Plexe
from .simple import Simple
from .tf_serving import TFServing

__all__ = [
    "DIALECTS",
    "Catalog",
    "Dialect",
    "MLClever",
    "OpenInference",
    "Plexe",
    "Route",
    "Simple",
    "TFServing",
]

DIALECTS: dict[str, type[Dialect]] = {
    "mlclever": MLClever,
    "plexe": Plexe,
    "simple": Simple,
    "open_inference": OpenInference,
    "tf_serving": TFServing,
}
"""Every dialect there is, by its name."""
