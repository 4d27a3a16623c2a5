"""Deployments: models under names that callers use, and how they are loaded, changed and paused."""

from .deployment import Deployment, HTTPLayer, ScoringLayer
from .deployments import Deployments
from .rollout import Rollout, Shadow

__all__ = ["Deployment", "Deployments", "HTTPLayer", "Rollout", "ScoringLayer", "Shadow"]
