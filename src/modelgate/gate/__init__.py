"""A gate: deployments, the layers around them, the dialects in which they are asked, and what runs them."""

from .deployment import Deployment, HTTPLayer, ScoringLayer
from .gate import Gate

__all__ = [
    "Deployment",
    "Gate",
    "HTTPLayer",
    "ScoringLayer",
]
