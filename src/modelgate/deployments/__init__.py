"""Deployments, which give models the names that callers use. Load, replace and pause models."""

from .deployment import Deployment, HTTPLayer, ScoringLayer
from .deployments import Deployments
from .rollout import Rollout, Shadow

__all__ = ["Deployment", "Deployments", "HTTPLayer", "Rollout", "ScoringLayer", "Shadow"]
