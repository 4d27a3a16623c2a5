"""Monitoring: prediction hooks, prediction logs, drift, and accuracy."""

from .drift_judge import DriftAlarm
from .drift_monitor import DriftMonitor
from .json_formatter import JSONFormatter
from .log_rows import PredictionWriter
from .outcome_log import OutcomeLog
from .prediction_hook import PredictionHook, PredictionRecord
from .prediction_log import PredictionLog

__all__ = [
    "DriftAlarm",
    "DriftMonitor",
    "JSONFormatter",
    "OutcomeLog",
    "PredictionHook",
    "PredictionLog",
    "PredictionRecord",
    "PredictionWriter",
]
