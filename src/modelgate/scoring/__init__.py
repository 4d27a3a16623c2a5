"""Scoring: validate rows and predict them, without HTTP."""

from .description import Description
from .layers.load_model import LoadModel, ModelMetadata
from .layers.passthrough import add_passthrough_columns
from .layers.result_cache import ResultCache
from .layers.rounding import Round, round_half_even
from .layers.threshold import Threshold
from .layers.validate import Validate
from .query import Query
from .score import score

__all__ = [
    "Description",
    "LoadModel",
    "ModelMetadata",
    "Query",
    "ResultCache",
    "Round",
    "Threshold",
    "Validate",
    "add_passthrough_columns",
    "round_half_even",
    "score",
]
