"""Explanations of predictions: how much each input column contributes to a prediction."""

from .explainer import ExplainedModel, Explainer, create_explainer
from .explanation import Contribution, Explain, RowExplanation
from .options import Explanations
from .packed import PackedExplanations

__all__ = [
    "Contribution",
    "Explain",
    "ExplainedModel",
    "Explainer",
    "Explanations",
    "PackedExplanations",
    "RowExplanation",
    "create_explainer",
]
