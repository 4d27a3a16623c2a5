"""Hooks that get every prediction, and logs of predictions."""

from .prediction_hook import PredictionHook, PredictionRecord

__all__ = ["PredictionHook", "PredictionRecord"]
