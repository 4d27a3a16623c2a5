"""Inference: predictions for validated tables, made by a fitted model or a function."""

from .prediction import Output, Prediction, Target
from .predictor import Predictor

__all__ = ["Output", "Prediction", "Predictor", "Target"]
