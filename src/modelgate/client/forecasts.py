"""Forecasts that a client receives."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec

from ..flow import Flow, run
from ..forecasting import ForecastOptions
from .errors import UnexpectedResponse
from .rows import to_rows
from .session import Session

__all__ = ["Forecasts", "request_forecasts"]


@dataclass(slots=True)
class Forecasts:
    """Forecasts of one or more series.

    Args:
        rows: Predicted rows, as in the wire format ``native``: ``series``, ``forecast_point``, ``step``,
            ``date``, ``timestamp``, ``row`` (index in the sent rows), ``prediction``, and ``intervals`` if
            there are any.
        version: Version of the model.
        warnings: Problems that did not prevent the forecasts, such as rows that were not predicted.
        request_id: Id of the request, as in the server's log.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    version: str | None = None
    warnings: list[str] = field(default_factory=list)
    request_id: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def values(self) -> list[float | None]:
        """Prediction of each row."""
        return [row["prediction"] for row in self.rows]


class _Response(msgspec.Struct):
    forecast: list[dict[str, Any]]
    model_version: str
    request_id: str | None = None
    warnings: list[str] = []


def request_forecasts(session: Session, data: Any, options: ForecastOptions | None) -> Flow[Forecasts]:
    """Return the forecasts for *data*; see `Client.forecast`."""
    options = ForecastOptions.from_option(options)
    rows = yield from run(to_rows, data)
    body = yield from run(rows.body)
    fields = {name: value for name, value in msgspec.structs.asdict(options).items() if value}
    query = urlencode({name: "true" if value is True else value for name, value in fields.items()})
    response = yield from session.post(body, rows.media_type, "application/json", query=query)
    try:
        answer = yield from run(msgspec.json.decode, response.content, type=_Response)
        if not all("prediction" in row for row in answer.forecast):
            raise msgspec.ValidationError("Object missing required field `prediction`")
    except msgspec.DecodeError as error:
        raise UnexpectedResponse(200, f"{session.url}: the response has no forecasts: {error}") from None
    return Forecasts(answer.forecast, answer.model_version, answer.warnings, answer.request_id)
