"""The gate: an HTTP app around deployments."""

from .gate import Gate

__all__ = ["Gate"]
