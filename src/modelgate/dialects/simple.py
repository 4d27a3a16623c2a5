"""The smallest format, after the article "APIs for Machine Learning" (Neurootix)::

    POST /simple/fraud     {"amount": 5.1, "country": "DE"}        one row, by name
                           [5.1, "DE"]  or  {"data": [5.1, "DE"]}  one row, in the schema's order
                           [{…}, {…}]  or  {"data": [[…], […]]}    many rows

    200  {"prediction": "cat", "confidence": 0.92}                 for many rows an array of these
    400  {"error": "…", "missing_columns": ["country"]}

The confidence is the probability of the class predicted; a number has none. Of a model with several
outputs both are objects, with a member for each output that has one.

The article's server takes the bare list, its client sends it as ``data``: both work. A deployment may
have a path of its own, ``Deployment("fraud", model, endpoint="/detect-fraud")``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import AnswerableError
from ..flow import Flow
from ..http import MAX_BODY, Request, Response, error_response, head_credentials
from ..http.bodies import check_body, decoded, json_text, parsed
from ..schema import by_row
from ..scoring import Prediction, Query, Target
from .arrays import holds_values, listed, one_row
from .base import Route
from .document import PLAIN_ERROR, ROW, ROWS, VALUES, Document, JSONSchema, array, by_name, either, members
from .sample import Sample

__all__ = ["Simple"]

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


_BARE = either(ROW, VALUES, ROWS, array(VALUES))


def _answer(targets: Sequence[Target]) -> JSONSchema:
    told = {"prediction": by_name(targets)}
    likely = [target.name for target in targets if target.probabilities]
    if likely:
        number: JSONSchema = {"type": "number"}
        named = members(likely, **dict.fromkeys(likely, number))
        told["confidence"] = number if len(targets) == 1 else named
    row = members(list(told), **told)
    return either(row, array(row))


class Simple:
    """The dialect ``simple``."""

    name = "simple"
    max_body = MAX_BODY
    routes: Sequence[Route] = (Route("POST", "/simple/{deployment}"),)
    sample = Sample("/simple/{deployment}", {"Authorization": "Bearer {key}"}, "{rows}")
    document = Document(
        'The article "APIs for Machine Learning"',
        {"application/json": either(_BARE, members(["data"], data=_BARE))},
        _answer,
        PLAIN_ERROR,
    )

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of ``Authorization: Bearer`` or ``x-api-key``."""
        yield from ()
        return head_credentials(request)

    def decode(self, request: Request) -> Flow[Query]:
        """The rows: by name as they came, by place as a `Split`.

        Raises:
            MalformedBody: the body is neither an object nor an array of rows or values.
        """
        raw = yield from json_text(request)
        if raw[:1] == b"{":
            members = yield from decoded(raw, _MEMBERS)
            data = bytes(members["data"]) if list(members) == ["data"] else b""
            if data[:1] not in (b"{", b"["):
                return Query(raw, single=True)
            yield from check_body(request, members, ["data"])
            raw = data
        if raw[:1] != b"[":
            return Query(raw, single=True)
        if holds_values(raw):
            return Query(one_row(raw), single=True)
        return Query((yield from parsed(listed, raw)))

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """``prediction``, and ``confidence`` where the model gives probabilities."""
        outputs = prediction.outputs
        columns = {"prediction": _told({out.name: out.values.tolist() for out in outputs}, len(outputs))}
        told = {out.name: out.confidences() for out in outputs if out.probabilities is not None}
        if told:
            columns["confidence"] = _told(told, len(outputs))
        rows = by_row(columns)
        return Response.json(rows[0] if query.single else rows)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """``{"error": message}``, with ``missing_columns`` and other details beside it."""
        return error_response(request, error)


def _told(columns: Mapping[str, Sequence[Any]], outputs: int) -> list[Any]:
    """A value a row; of a model with several outputs, the values by name."""
    if outputs == 1:
        return list(next(iter(columns.values())))
    return by_row(columns)
