"""The wire formats a gate speaks: one a file."""

from .base import Catalog, Dialect, Route
from .datarobot import DataRobot
from .mlclever import MLClever
from .simple import Simple

__all__ = ["DIALECTS", "Catalog", "DataRobot", "Dialect", "MLClever", "Route", "Simple"]

DIALECTS: dict[str, type[Dialect]] = {"mlclever": MLClever, "simple": Simple, "datarobot": DataRobot}
"""Every dialect there is, by its name."""
