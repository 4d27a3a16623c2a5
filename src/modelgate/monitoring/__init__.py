"""Hooks that get every prediction, and logs of predictions."""

from .json_formatter import JSONFormatter
from .log_rows import RowWriter
from .prediction_hook import PredictionHook, PredictionRecord
from .prediction_log import PredictionLog

__all__ = ["JSONFormatter", "PredictionHook", "PredictionLog", "PredictionRecord", "RowWriter"]
