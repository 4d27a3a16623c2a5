"""Stored form of predictions and outcomes."""

from typing import Annotated, Any

import msgspec

__all__ = ["Outcome", "ScoredRow", "to_association"]


class ScoredRow(msgspec.Struct):
    """Stored prediction for one row.

    Attributes:
        deployment, version, request_id: See `PredictionRecord`.
        row: Number of the row in the request, from 0.
        association: Value of the association column; None if there is no such column.
        unit: Value by which a rollout chooses the version: a request id, a key id or the value of a column.
            Rows with the same value get the same version.
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
        actual: Actual label or number.
        request_id: Request id of the prediction; None to use *association*.
        row: Number of the row in the request, from 0.
        association: Value of the association column. It identifies the newest prediction with this value.
    """

    actual: str | bool | int | float
    request_id: str | None = None
    row: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    association: str | int | None = None


def to_association(value: Any) -> str:
    """Return the stored text for a value of an association column. It is the same for 7 and 7.0."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    # PostgreSQL cannot store the character 0.
    return text.replace("\0", "\ufffd")
