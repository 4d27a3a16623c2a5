"""The wire formats a gate speaks: one a file."""

from .base import Catalog, Dialect, Route
from .datarobot import DataRobot
from .document import Document
from .mlclever import MLClever
from .mlflow import MLflow
from .open_inference import OpenInference
from .peltarion import Peltarion
from .plexe import Plexe
from .sample import Filled, Sample, filled
from .simple import Simple
from .tf_serving import TFServing

__all__ = [
    "DIALECTS",
    "Catalog",
    "DataRobot",
    "Dialect",
    "Document",
    "Filled",
    "MLClever",
    "MLflow",
    "OpenInference",
    "Peltarion",
    "Plexe",
    "Route",
    "Sample",
    "Simple",
    "TFServing",
    "filled",
]

DIALECTS: dict[str, type[Dialect]] = {
    "mlclever": MLClever,
    "plexe": Plexe,
    "datarobot": DataRobot,
    "peltarion": Peltarion,
    "simple": Simple,
    "open_inference": OpenInference,
    "tf_serving": TFServing,
    "mlflow": MLflow,
}
"""Every dialect there is, by its name."""
