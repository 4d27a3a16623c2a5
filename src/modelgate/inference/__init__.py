"""Inference: predict validated tables with a fitted model or a function."""

from .exposure import Exposure
from .prediction import Output, Prediction, Target
from .predictor import Predictor

__all__ = ["Exposure", "Output", "Prediction", "Predictor", "Target"]
