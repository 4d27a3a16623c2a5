"""The wire formats a gate speaks: one a file."""

from .base import Catalog, Dialect, Route
from .mlclever import MLClever
from .mlflow import MLflow
from .peltarion import Peltarion
from .simple import Simple

__all__ = ["DIALECTS", "Catalog", "Dialect", "MLClever", "MLflow", "Peltarion", "Route", "Simple"]

DIALECTS: dict[str, type[Dialect]] = {
    "mlclever": MLClever,
    "simple": Simple,
    "mlflow": MLflow,
    "peltarion": Peltarion,
}
"""Every dialect there is, by its name."""
