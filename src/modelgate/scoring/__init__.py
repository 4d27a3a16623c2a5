"""Scoring: from rows to a prediction, with no HTTP in it."""

from .model import Model, held
from .predictor import Predictor
from .query import Output, Prediction, Query
from .rounding import Round, round_half_even
from .score import score
from .validate import Validate

__all__ = [
    "Model",
    "Output",
    "Prediction",
    "Predictor",
    "Query",
    "Round",
    "Validate",
    "held",
    "round_half_even",
    "score",
]
