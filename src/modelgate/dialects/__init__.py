"""The wire formats a gate speaks: one a file."""

from .base import Catalog, Dialect, Route
from .mlclever import MLClever
from .plexe import Plexe
from .simple import Simple

__all__ = ["DIALECTS", "Catalog", "Dialect", "MLClever", "Plexe", "Route", "Simple"]

DIALECTS: dict[str, type[Dialect]] = {"mlclever": MLClever, "plexe": Plexe, "simple": Simple}
"""Every dialect there is, by its name."""
