"""Predictions and outcomes, as they are stored."""

from typing import Annotated, Any

import msgspec

__all__ = ["Outcome", "ScoredRow", "to_association"]


class ScoredRow(msgspec.Struct):
    """Prediction for one row.

    Attributes:
        deployment, version, request_id: See `PredictionRecord`.
        row: Number of the row in the request, from 0.
        association: Value of the association column; None without one.
        unit: Group of rows that always get the same version.
        time: Time of the prediction, in seconds since the epoch.
        label: Predicted label as JSON; None for a number.
        number: Predicted number; None for a label.
        probability: Probability of the predicted label; None if there is none.
    """

    deployment: str
    version: str
    request_id: str
    row: int
    association: str | None
    unit: str
    time: float
    label: str | None
    number: float | None
    probability: float | None


class Outcome(msgspec.Struct, forbid_unknown_fields=True):
    """Actual outcome of one predicted row.

    Attributes:
        actual: Label or number.
        request_id: Request id of the prediction; None to use *association*.
        row: Number of the row in the request, from 0.
        association: Value of the association column; the newest prediction with it is meant.
    """

    actual: str | bool | int | float
    request_id: str | None = None
    row: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    association: str | int | None = None


def to_association(value: Any) -> str:
    """Return the text under which the value of an association column is stored: 7 and 7.0 are the same."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    # PostgreSQL cannot store the character 0.
    return text.replace("\0", "\ufffd")
