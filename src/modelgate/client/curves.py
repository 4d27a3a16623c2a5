"""Response curves that a client receives."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import InvalidInput
from ..flow import Flow, run
from ..schema.coerce import to_json_value
from .errors import UnexpectedResponse
from .rows import to_rows
from .session import Session

__all__ = ["CurvePoints", "ResponseCurve", "request_curve"]


class CurvePoints(msgspec.Struct, frozen=True):
    """Predictions at the points of a grid, in the order of the grid.

    Attributes:
        values: Prediction at each point: a class or a number. None for the average of a classifier, and for a
            model with several outputs.
        probabilities: Probability of each class at each point. The classes are text, as in the wire format
            ``native``. None if the model returns no probabilities.
        outputs: Predictions by output, for a model with several outputs; else None.
    """

    values: list[Any] | None = msgspec.field(default=None, name="prediction")
    probabilities: dict[str, list[float | None]] | None = None
    outputs: "dict[str, CurvePoints] | None" = None


class ResponseCurve(msgspec.Struct, frozen=True):
    """Predictions for a grid of values of one column, while the other columns do not change.

    Attributes:
        column: Name of the column that varies.
        grid: Values of the column.
        version: Version of the model.
        curve: Predictions for the row; None if the call had no row.
        average: Mean predictions for the sample of training rows; None if the call did not request them.
        warnings: Problems with values that did not prevent the predictions.
        request_id: Id of the request, as in the server's log.
    """

    column: str
    grid: list[Any]
    version: str = msgspec.field(name="model_version")
    curve: CurvePoints | None = None
    average: CurvePoints | None = None
    warnings: list[str] = []
    request_id: str | None = None


def request_curve(
    session: Session,
    column: str,
    row: Mapping[str, Any] | None,
    grid: Sequence[Any] | None,
    points: int | None,
    *,
    average: bool,
) -> Flow[ResponseCurve]:
    """Return the response curve of *column*; see `Client.curve`."""
    body: dict[str, Any] = {"column": column, "points": points, "average": average}
    if row is not None:
        body["row"] = msgspec.Raw(to_rows(row).body()[1:-1])
    if grid is not None:
        body["grid"] = list(map(to_json_value, grid))
    try:
        content = msgspec.json.encode(body)
    except TypeError as error:
        raise InvalidInput(f"grid must contain only values that JSON can represent: {error}") from None
    response = yield from session.post(content, "application/json", "application/json", operation="curves")
    try:
        answer = yield from run(msgspec.json.decode, response.content, type=ResponseCurve)
    except msgspec.DecodeError as error:
        raise UnexpectedResponse(200, f"{session.url}: the response is not a curve: {error}") from None
    if (answer.curve is None) != (row is None) or (answer.average is None) == average:
        raise UnexpectedResponse(200, f"{session.url}: the response lacks the requested curve")
    return answer
