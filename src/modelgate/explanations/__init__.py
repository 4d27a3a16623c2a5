"""Explanations of predictions: how much each input column contributes to a prediction."""

from .explainer import ExplainedModel, Explainer, create_explainer
from .explanation import Contribution, Explain, RowExplanation
from .options import Explanations
from .packed import PackedExplanations, labels_and_base_values

__all__ = [
    "Contribution",
    "Explain",
    "ExplainedModel",
    "Explainer",
    "Explanations",
    "PackedExplanations",
    "RowExplanation",
    "create_explainer",
    "labels_and_base_values",
]
