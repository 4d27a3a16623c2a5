"""Hooks that get every prediction, and logs of predictions."""

from .log_rows import RowWriter
from .prediction_hook import PredictionHook, PredictionRecord
from .prediction_log import PredictionLog

__all__ = ["PredictionHook", "PredictionLog", "PredictionRecord", "RowWriter"]
