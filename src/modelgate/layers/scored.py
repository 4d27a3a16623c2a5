"""Scoring layers around an app that scores by itself."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..flow import Flow, Handler, Layer, checked_layers, stack
from ..http import Request, Response
from ..http.bodies import check_body, json_members, json_text
from ..http.strict_json import ANY
from ..scoring import Output, Prediction, Query

__all__ = ["Scored"]


class Scored:
    """Put scoring layers (`Validate`, `Model`, `Round`, your own) around an app that takes rows as
    JSON and answers predictions as JSON.

    On the way in the layers see the rows of the request's body; the app then gets the body as it
    came. On the way out they see the predictions of a 200, and what they change is written back.
    What they find, the table or the model, the app reads from `Request.query`, which it has as
    ``modelgate.request`` in its WSGI environ or ASGI scope.

    Args:
        layers: the first one outermost.
        rows: the member of the request's body that holds the rows; None where the body is the rows.
        predictions: the member of the answer that holds the predictions, one value or a list;
            None to let the answer stream past untouched.
        paths: the paths concerned; None for every one. Only POST is concerned.
    """

    def __init__(
        self,
        *layers: Layer[Query, Prediction],
        rows: str | None = "input_data",
        predictions: str | None = "predictions",
        paths: Iterable[str] | None = None,
    ) -> None:
        self._layers = checked_layers(layers)
        self._rows = rows
        self._predictions = predictions
        self._paths = frozenset(paths) if paths is not None else None

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if request.method != "POST" or not (self._paths is None or request.path in self._paths):
            return call_next(request)
        return self._score(request, call_next)

    def _score(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        app = _App(request, call_next, self._predictions)
        request.query = Query((yield from self._rows_of(request)), on_rows=request.on_rows)
        request.whole_response = self._predictions is not None
        prediction = yield from stack(self._layers, app)(request.query)
        return app.answer(prediction)

    def _rows_of(self, request: Request) -> Flow[bytes]:
        if self._rows is None:
            return (yield from json_text(request))
        members = yield from json_members(request)
        yield from check_body(request, members, [self._rows])
        if self._rows not in members:
            raise InvalidInput(f"{self._rows} is missing: send the rows to score")
        return bytes(members[self._rows])


class _App:
    """The app within, as the innermost of the scoring handlers."""

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
        self._body = _members(self._response)
        return _prediction(self._body[self._member]) if self._member in self._body else _prediction([])

    def answer(self, prediction: Prediction) -> Response:
        """The app's response, with what the layers made of its predictions."""
        assert self._response is not None
        if self._member in self._body:
            values = _values(prediction, self._body[self._member])
            body = msgspec.json.encode({**self._body, self._member: values})
            self._response.body = body
            self._response.set("content-length", str(len(body)))
        return self._response


def _members(response: Response) -> dict[str, Any]:
    """The members of the answer, where it is JSON that has any."""
    told = response.header("content-type") or ""
    if response.status != 200 or "json" not in told or not isinstance(response.body, bytes):
        return {}
    try:
        body = ANY.decode(response.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _prediction(told: Any) -> Prediction:
    """The values of an answer: one, one a row, or for each row a list of as many as there are outputs."""
    values = told if isinstance(told, list) else [told]
    several = bool(values) and all(isinstance(row, list) and len(row) == len(values[0]) for row in values)
    columns = list(zip(*values, strict=True)) if several else [values]
    return Prediction([Output(f"prediction_{at}", _objects(column)) for at, column in enumerate(columns)])


def _objects(values: Sequence[Any]) -> npt.NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _values(prediction: Prediction, like: Any) -> Any:
    """The values of *prediction* in the shape of those that were told."""
    columns = [output.values.tolist() for output in prediction.outputs]
    if not isinstance(like, list):
        return columns[0][0]
    nested = bool(like) and isinstance(like[0], list) and len(columns) == len(like[0])
    return [list(row) for row in zip(*columns, strict=True)] if nested else columns[0]
