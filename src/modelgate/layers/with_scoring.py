"""Run scoring layers around an app that does its own scoring."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..codecs.json import ANY
from ..context import RequestContext
from ..errors import InvalidInput
from ..flow import Flow, Handler, Layer, stack, validate_layers
from ..http import Request, Response
from ..http.body import check_body, read_json_members, read_json_raw
from ..inference import Output, Prediction
from ..scoring import Query

__all__ = ["WithScoring"]


class WithScoring:
    """Run scoring layers (`Validate`, `LoadModel`, `Round` or your own) around an app with JSON bodies.

    Before the app is called, the layers get the rows from the request's body. The app gets the body
    unchanged. After the app responds with 200, the layers get the predictions in the response and may
    change them.

    The app can use the results of the layers. The request is in ``modelgate.request`` of the WSGI environ or
    the ASGI scope, and its ``context.query`` contains the table and the model.

    Args:
        layers: Scoring layers, outermost first.
        rows: Member of the request body that contains the rows; None if the whole body is the rows.
        predictions: Member of the response that contains the predictions, one value or a list; None
            to pass the response through unchanged, as a stream.
        paths: Paths to which the layers apply; None for all. The layers apply only to POST requests.
    """

    def __init__(
        self,
        *layers: Layer[Query, Prediction],
        rows: str | None = "input_data",
        predictions: str | None = "predictions",
        paths: Iterable[str] | None = None,
    ) -> None:
        self._layers = validate_layers(layers)
        self._rows = rows
        self._predictions = predictions
        self._paths = frozenset(paths) if paths is not None else None

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if request.method != "POST" or not (self._paths is None or request.path in self._paths):
            return call_next(request)
        return self._score(request, call_next)

    def _score(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        app = _App(request, call_next, self._predictions)
        context: RequestContext = request.context
        query = context.query = Query((yield from self._read_rows(request)), on_rows=context.on_rows)
        request.whole_response = self._predictions is not None
        prediction = yield from stack(self._layers, app)(query)
        return app.build_response(prediction)

    def _read_rows(self, request: Request) -> Flow[bytes]:
        if self._rows is None:
            return (yield from read_json_raw(request))
        members = yield from read_json_members(request)
        yield from check_body(request, members, [self._rows])
        if self._rows not in members:
            raise InvalidInput(f"{self._rows} is missing: send the rows to score")
        return bytes(members[self._rows])


class _App:
    """Innermost scoring handler, which calls the app."""

    def __init__(
        self, request: Request, call_next: Handler[Request, Response], predictions: str | None
    ) -> None:
        self._request = request
        self._call_next = call_next
        self._member = predictions
        self._response: Response | None = None
        self._body: dict[str, Any] = {}

    def __call__(self, query: Query) -> Flow[Prediction]:  # noqa: ARG002  a handler takes one
        self._response = yield from self._call_next(self._request)
        self._body = _json_members(self._response)
        if self._member not in self._body:
            return _to_prediction([])
        return _to_prediction(self._body[self._member])

    def build_response(self, prediction: Prediction) -> Response:
        """Return the app's response with its predictions replaced by *prediction*."""
        assert self._response is not None
        if self._member in self._body:
            values = _to_values(prediction, self._body[self._member])
            body = msgspec.json.encode({**self._body, self._member: values})
            self._response.body = body
            self._response.set("content-length", str(len(body)))
        return self._response


def _json_members(response: Response) -> dict[str, Any]:
    """Return the members of the JSON object in *response*, or an empty dict if the status is not 200."""
    media_type = response.header("content-type") or ""
    if response.status != 200 or "json" not in media_type or not isinstance(response.body, bytes):
        return {}
    try:
        body = ANY.decode(response.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _to_prediction(predictions: Any) -> Prediction:
    """Convert the app's predictions: one value, a value per row, or a list of outputs per row."""
    values = predictions if isinstance(predictions, list) else [predictions]
    nested = bool(values) and all(isinstance(row, list) and len(row) == len(values[0]) for row in values)
    columns = list(zip(*values, strict=True)) if nested else [values]
    return Prediction(
        [Output(f"prediction_{index}", _object_array(column)) for index, column in enumerate(columns)]
    )


def _object_array(values: Sequence[Any]) -> npt.NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _to_values(prediction: Prediction, like: Any) -> Any:
    """Return the values of *prediction* in the same shape as *like*, the value in the app's response."""
    columns = [output.values.tolist() for output in prediction.outputs]
    if not isinstance(like, list):
        return columns[0][0]
    nested = bool(like) and isinstance(like[0], list) and len(columns) == len(like[0])
    return [list(row) for row in zip(*columns, strict=True)] if nested else columns[0]
