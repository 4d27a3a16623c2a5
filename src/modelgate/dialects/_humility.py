"""Encode triggered humility rules in the wire formats that have members for them."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..inference import Prediction
from ..inference.prediction import TriggeredRule
from .openapi_spec import JSONSchema, array_schema, object_schema

__all__ = [
    "DATAROBOT_HUMILITY",
    "NATIVE_HUMILITY",
    "add_datarobot_humility",
    "add_native_humility",
    "humility_column",
]

_EXACT = 2**53
"""Largest float that is converted to an int. JSON encoders reject integers of more than 64 bits."""

_EXAMPLE_ID, _EXAMPLE_NAME = "5ebad4735f11b33a38ff3e0d", "Uncertain Prediction Trigger"

DATAROBOT_HUMILITY: JSONSchema = {
    "humility": {
        **array_schema(
            object_schema(
                ["ruleId", "triggered", "ruleName"],
                ruleId={"type": "string"},
                triggered={"type": "boolean"},
                ruleName={"type": "string"},
            )
        ),
        "description": "Humility rules that the row has triggered; left out if there are none",
        "examples": [[{"ruleId": _EXAMPLE_ID, "triggered": True, "ruleName": _EXAMPLE_NAME}]],
    }
}
"""Member of a row of the DataRobot Prediction API."""

NATIVE_HUMILITY: JSONSchema = {
    "humility": {
        **array_schema(
            object_schema(
                ["rule_id", "name", "action"],
                rule_id={"type": "string"},
                name={"type": "string"},
                action={"enum": ["no_operation", "override"]},
            )
        ),
        "description": "Humility rules that the row has triggered; left out if there are none",
        "examples": [[{"rule_id": _EXAMPLE_ID, "name": _EXAMPLE_NAME, "action": "override"}]],
    },
    "model_prediction": {"description": "Prediction of the model, if a humility rule has overridden it"},
}
"""Members of a row of the native format."""


def add_datarobot_humility(rows: Sequence[dict[str, Any]], prediction: Prediction, start: int) -> None:
    """Add the member ``humility`` to each of *rows* that has triggered rules.

    Args:
        rows: Encoded rows, beginning with the row *start*.
        prediction: Prediction for all rows.
        start: Index of the first encoded row.
    """
    for row, _, rules in _triggered_rows(prediction, start, len(rows)):
        rows[row]["humility"] = [
            {"ruleId": rule.rule_id, "triggered": True, "ruleName": rule.name} for rule in rules
        ]
        value = rows[row]["prediction"]
        if isinstance(value, float) and _is_overridden(rules):
            rows[row]["prediction"] = _without_fraction(value)


def add_native_humility(rows: Sequence[dict[str, Any]], prediction: Prediction, start: int) -> None:
    """Add the member ``humility`` and, if the prediction was overridden, the member ``model_prediction``.

    For the arguments see `add_datarobot_humility`.
    """
    for row, index, rules in _triggered_rows(prediction, start, len(rows)):
        rows[row]["humility"] = [rule._asdict() for rule in rules]
        model_values = prediction.outputs[0].model_values
        if model_values is not None and _is_overridden(rules):
            rows[row]["model_prediction"] = model_values[index : index + 1].tolist()[0]


def humility_column(humility: Sequence[Sequence[TriggeredRule]]) -> list[str]:
    """Return the names of the rules that each row has triggered, joined by ``; ``."""
    return ["; ".join([rule.name for rule in rules]) for rules in humility]


def _triggered_rows(
    prediction: Prediction, start: int, count: int
) -> Iterator[tuple[int, int, Sequence[TriggeredRule]]]:
    """Yield the rows that have triggered rules, among the *count* rows beginning with the row *start*.

    Each item is a tuple of the row's index relative to *start*, the row's index in *prediction*, and the
    triggered rules.
    """
    for row, rules in enumerate((prediction.humility or ())[start : start + count]):
        if rules:
            yield row, start + row, rules


def _without_fraction(value: float) -> float:
    """Convert a whole number to an int, so that it is written as ``5220`` in JSON, not as ``5220.0``.

    DataRobot's document shows overridden predictions in this form.
    """
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _is_overridden(rules: Sequence[TriggeredRule]) -> bool:
    return any(rule.action == "override" for rule in rules)
