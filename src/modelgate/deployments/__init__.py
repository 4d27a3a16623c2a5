"""Deployments: models with the names that callers use. They are loaded, replaced and paused here."""

from .deployment import Deployment, HTTPLayer, ScoringLayer
from .deployments import Deployments
from .rollout import Rollout, Shadow

__all__ = ["Deployment", "Deployments", "HTTPLayer", "Rollout", "ScoringLayer", "Shadow"]
