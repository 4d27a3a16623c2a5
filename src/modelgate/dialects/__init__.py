"""The wire formats a gate speaks: one a file."""

from .base import Dialect, Route
from .mlclever import MLClever

__all__ = ["DIALECTS", "Dialect", "MLClever", "Route"]

DIALECTS: dict[str, type[Dialect]] = {"mlclever": MLClever}
"""Every dialect there is, by its name."""
