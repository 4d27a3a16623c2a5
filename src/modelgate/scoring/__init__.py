"""Scoring: from rows to a prediction, with no HTTP in it."""

from .kept import keep_columns
from .model import Known, Model, held
from .predictor import Predictor
from .query import Description, Output, Prediction, Query, Target
from .results import ResultCache
from .rollout import Rollout
from .rounding import Round, round_half_even
from .score import score
from .shadow import Agreement, Shadow
from .threshold import Threshold, decide
from .validate import Validate

__all__ = [
    "Agreement",
    "Description",
    "Known",
    "Model",
    "Output",
    "Prediction",
    "Predictor",
    "Query",
    "ResultCache",
    "Rollout",
    "Round",
    "Shadow",
    "Target",
    "Threshold",
    "Validate",
    "decide",
    "held",
    "keep_columns",
    "round_half_even",
    "score",
]
