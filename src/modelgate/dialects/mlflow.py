"""The scoring protocol of MLflow (https://mlflow.org, "Deploy MLflow Model as a Local Inference Server"),
which clients of SageMaker and Vertex AI speak too::

    POST /mlflow/churn/invocations      {"dataframe_split": {"columns": ["age", "plan"], "data": [[41, "pro"]]}}
    POST /endpoints/churn/invocations   {"dataframe_records": [{"age": 41, "plan": "pro"}]}
    POST /invocations                   {"instances": [{"age": 41, "plan": "pro"}]}  or  [[41, "pro"]]
                                        {"inputs": {"age": [41], "plan": ["pro"]}}   or as instances
                                        age,plan↵41,pro                              as text/csv

    200  {"predictions": ["no"]}        of several outputs an object a row
    400  {"error_code": "BAD_REQUEST", "message": "…", "missing_columns": ["plan"]}

    GET  …/ping, …/health               200 when ready, otherwise 503
    GET  …/version                      that of MLflow whose protocol this is

The words of errors are those of ``mlflow.exceptions``. At the gate's root the key, or the gate's only
deployment, says which one is asked. The second path is that of SageMaker's runtime; Vertex AI names its
own in the environment of the container, as ``AIP_PREDICT_ROUTE`` and ``AIP_HEALTH_ROUTE``.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..errors import (
    AnswerableError,
    DeploymentInactive,
    InvalidInput,
    MalformedBody,
    NotFound,
)
from ..flow import Flow, run
from ..http import Request, Response, error_response, head_credentials
from ..http.bodies import check_body, content, json_members
from ..http.negotiation import preferred
from ..http.strict_json import ANY, LARGE, check_members, decode_json
from ..schema import Split, by_row, csv_of
from ..scoring import Prediction, Query, Target
from .arrays import by_column, listed
from .base import Catalog, Route
from .document import (
    COLUMNS,
    DETAILS,
    ITEMS,
    WARNINGS,
    Document,
    JSONSchema,
    array,
    by_name,
    either,
    members,
)
from .row_bodies import row_body
from .sample import Sample

__all__ = ["MLflow"]

_PROTOCOL = b"2.0.0"
"""The version of MLflow that brought this protocol."""

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""``mlflow.exceptions.HTTP_STATUS_TO_ERROR_CODE``."""

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES = msgspec.json.Decoder(list[str | int] | None)
_LISTS: "msgspec.json.Decoder[Sequence[Sequence[Any]]]" = msgspec.json.Decoder(list[list[Any]])

# The second alternative passes over texts: to their end, or that of a body whose last one is never closed.
_NAN = re.compile(rb'NaN|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def _ping(request: Request, catalog: Catalog) -> Flow[Response]:
    """Whether the deployment, or with none named every one, can score: whoever asks needs no key."""
    try:
        ready = yield from catalog.ready(request.deployment)
    except (NotFound, DeploymentInactive):
        ready = False
    return Response(200 if ready else 503, b"\n", [("content-type", "application/json")])


def _version(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001  an answer takes both
    yield from ()
    return Response(200, _PROTOCOL, [("content-type", "text/plain")])


def _routes(environ: Mapping[str, str]) -> Iterator[Route]:
    for prefix in ("/mlflow/{deployment}", "/endpoints/{deployment}", ""):
        yield Route("POST", f"{prefix}/invocations")
        yield Route("GET", f"{prefix}/ping", _ping, open=True)
        if not prefix.startswith("/endpoints"):
            yield Route("GET", f"{prefix}/health", _ping, open=True)
            yield Route("GET", f"{prefix}/version", _version, open=True)
    # Vertex AI, "Custom container requirements for prediction".
    if predict := environ.get("AIP_PREDICT_ROUTE"):
        yield Route("POST", predict.rstrip("/"))
    if health := environ.get("AIP_HEALTH_ROUTE"):
        yield Route("GET", health.rstrip("/"), _ping, open=True)


_NAMED: JSONSchema = {"type": ["array", "null"], "items": {"type": ["string", "integer"]}}

_REQUEST = either(
    members(
        ["dataframe_split"],
        dataframe_split=members(["data"], columns=_NAMED, data=array({"type": "array"})),
    ),
    members(["dataframe_records"], dataframe_records=ITEMS),
    members(["instances"], instances=ITEMS),
    members(["inputs"], inputs=either(COLUMNS, ITEMS)),
)


def _answer(targets: Sequence[Target]) -> JSONSchema:
    return members(["predictions"], predictions=array(by_name(targets)), **WARNINGS)


class MLflow:
    """The dialect ``mlflow``."""

    name = "mlflow"
    # Amazon SageMaker, "Inference options": real-time inference takes payloads of up to 6 MB.
    max_body = 6 * 1024 * 1024
    sample = Sample(
        "/mlflow/{deployment}/invocations",
        {"Authorization": "Bearer {key}"},
        {"dataframe_split": {"columns": "{names}", "data": "{matrix}"}},
    )
    document = Document(
        "MLflow, SageMaker, Vertex AI",
        {"application/json": _REQUEST, "text/csv": {"type": "string"}},
        _answer,
        members(
            ["error_code", "message"], error_code={"type": "string"}, message={"type": "string"}, **DETAILS
        ),
        answer_types=("text/csv",),
        keys=(("bearer",), ("x-api-key",), ("basic",)),
    )

    def __init__(self) -> None:
        self.routes: Sequence[Route] = tuple(_routes(os.environ))

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of ``Authorization: Bearer``, of ``x-api-key``, or the password of ``Basic``.

        MLflow's client knows no other place than the file netrc, which gives a password.
        """
        yield from ()
        return head_credentials(request, ("bearer", "basic"))

    def decode(self, request: Request) -> Flow[Query]:
        """The rows: by name as they came, by place or by column as a `Split`.

        Raises:
            UnsupportedMediaType: the body is neither JSON nor CSV, or in a charset not read here.
            InvalidInput: there is none of the members that bring rows, or there are parameters.
        """
        kind = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
        # MLflow's page names application/csv, and its server takes text/csv alone.
        if kind in ("text/csv", "application/csv"):
            return Query((yield from row_body(request)))
        members = yield from _members(request)
        yield from check_body(request, members, _FORMATS)
        if len((yield from content(request))) > LARGE:
            return Query((yield from run(_rows, members)))
        return Query(_rows(members))

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """``predictions``: a value a row, of several outputs an object; or CSV where that is asked for."""
        outputs = prediction.outputs
        columns = {output.name: output.values.tolist() for output in outputs}
        if preferred(request.headers.get("accept"), ("application/json", "text/csv")) == "text/csv":
            # A line a row, and no header: so answer SageMaker's own containers.
            named = [(output.name, output.values) for output in outputs]
            body = csv_of(named, len(prediction), header=False)
            return Response(200, body, [("content-type", "text/csv; charset=utf-8")])
        if len(outputs) == 1:
            members = {"predictions": columns[outputs[0].name]}
        else:
            members = {"predictions": by_row(columns)}
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return Response.json(members)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """``error_code`` and ``message``, with ``missing_columns`` and other details beside them."""
        code = _CODES.get(error.status, "BAD_REQUEST" if error.status < 500 else "INTERNAL_ERROR")
        return error_response(request, error, {"error_code": code, "message": error.message})


def _members(request: Request) -> Flow[dict[str, msgspec.Raw]]:
    """The members of the body, in which NaN is null: MLflow's client sends missing numbers so."""
    try:
        return (yield from json_members(request))
    except MalformedBody:
        if request.content is None or b"NaN" not in request.content:
            raise
    request.content = yield from run(_without_nan, request.content)
    return (yield from json_members(request))


def _without_nan(body: bytes) -> bytes:
    return _NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body)


def _rows(members: Mapping[str, msgspec.Raw]) -> bytes | Split:
    asked = [name for name in _FORMATS if name in members]
    if len(asked) != 1:
        raise InvalidInput(f"Send the rows as exactly one of {', '.join(_FORMATS)}")
    for name in ("params", "parameters"):
        if name in members and decode_json(members[name], ANY):
            raise InvalidInput(f"{name} must be left out or empty: this deployment's model takes none")
    return _FORMATS[asked[0]](bytes(members[asked[0]]))


def _split(raw: bytes) -> Split:
    """``{"columns": […], "data": [[…]]}``, and an ``index`` that says nothing of the rows."""
    members = decode_json(raw, _MEMBERS)
    check_members(raw, members, ("columns", "data"))
    if "data" not in members:
        raise InvalidInput("dataframe_split has no data: send columns and data")
    names = decode_json(members.get("columns", msgspec.Raw(b"null")), _NAMES)
    # A DataFrame that was made without names numbers its columns.
    if names is None or names == list(range(len(names))):
        return Split(None, decode_json(members["data"], _LISTS))
    return Split([str(name) for name in names], decode_json(members["data"], _LISTS))


def _inputs(raw: bytes) -> bytes | Split:
    """Columns by name, each a list of values; or a list of rows."""
    return by_column(raw) if raw[:1] == b"{" else listed(raw)


_FORMATS: Mapping[str, Callable[[bytes], bytes | Split]] = {
    "dataframe_split": _split,
    "dataframe_records": listed,
    "instances": listed,
    "inputs": _inputs,
}
"""The members that bring rows, and what reads them."""
