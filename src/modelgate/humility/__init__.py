"""Humility rules, which report, override or reject uncertain predictions."""

from .actions import Action, NoOperation, OverridePrediction, ThrowError
from .rule_set import HumilityRules
from .rules import HumilityRule, LowObservationRegion, OutlyingInput, UncertainPrediction

__all__ = [
    "Action",
    "HumilityRule",
    "HumilityRules",
    "LowObservationRegion",
    "NoOperation",
    "OutlyingInput",
    "OverridePrediction",
    "ThrowError",
    "UncertainPrediction",
]
