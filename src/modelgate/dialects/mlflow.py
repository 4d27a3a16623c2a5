"""Scoring protocol of MLflow, also used by clients of SageMaker and Vertex AI.

Source: https://mlflow.org, "Deploy MLflow Model as a Local Inference Server".

::

    POST /mlflow/churn/invocations      {"dataframe_split": {"columns": ["age", "plan"], "data": [[41, "pro"]]}}
    POST /endpoints/churn/invocations   {"dataframe_records": [{"age": 41, "plan": "pro"}]}
    POST /invocations                   {"instances": [{"age": 41, "plan": "pro"}]}  or  [[41, "pro"]]
                                        {"inputs": {"age": [41], "plan": ["pro"]}}   or a list of rows
                                        age,plan↵41,pro                              as text/csv

    200  {"predictions": ["no"]}        for several outputs, an object per row
    400  {"error_code": "BAD_REQUEST", "message": "…", "missing_columns": ["plan"]}

    GET  …/ping, …/health               200 when ready, otherwise 503
    GET  …/version                      version of MLflow that introduced this protocol

The error codes are those of ``mlflow.exceptions``. ``/invocations`` at the gate's root does not name a
deployment. The request goes to the only deployment that the key permits or, if the key permits all, to the
gate's only deployment. ``/endpoints/…`` is the path of SageMaker's runtime. Vertex AI sets its paths in the
container's environment variables ``AIP_PREDICT_ROUTE`` and ``AIP_HEALTH_ROUTE``.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from ..codecs.csv_writer import write_csv
from ..codecs.json import ANY, LARGE, check_unread_members, decode_json
from ..context import RequestContext
from ..errors import AnswerableError, DeploymentInactive, InvalidInput, MalformedBody, NotFound
from ..flow import Flow, run_long
from ..http import Request, Response, credentials_from_headers, error_response
from ..http.body import check_body, read_body, read_json_members
from ..http.negotiation import best_media_type
from ..http.routing import Route
from ..inference import Prediction, Target
from ..schema import SplitRows, columns_to_records, rows_from_columns
from ..scoring import Query
from ._array_rows import decode_lists, rows_from_array
from ._row_body import decode_row_body
from .openapi_spec import (
    COLUMNS,
    DETAILS,
    ITEMS,
    WARNINGS,
    JSONSchema,
    OpenAPISpec,
    any_of_schema,
    array_schema,
    object_schema,
    targets_schema,
)
from .request_template import RequestTemplate

__all__ = ["MLflow"]

_PROTOCOL = b"2.0.0"
"""Version of MLflow that introduced this protocol."""

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
"""Error codes by HTTP status, from ``mlflow.exceptions.HTTP_STATUS_TO_ERROR_CODE``."""

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES = msgspec.json.Decoder(list[str | int] | None)

# MLflow's client writes bodies with json.dumps, which turns a missing number into the literal NaN.
# The second alternative skips strings. An unterminated string extends to the end of the body.
_NAN = re.compile(rb'NaN|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def _ping(request: Request) -> Flow[Response]:
    """Report whether the deployment that the path names can score.

    If the path names no deployment, report whether all active deployments can score.
    """
    context: RequestContext = request.context
    assert context.catalog is not None
    try:
        is_ready = yield from context.catalog.ready(context.deployment)
    except (NotFound, DeploymentInactive):
        is_ready = False
    return Response(200 if is_ready else 503, b"\n", [("content-type", "application/json")])


def _version(request: Request) -> Flow[Response]:  # noqa: ARG001
    yield from ()
    return Response(200, _PROTOCOL, [("content-type", "text/plain")])


def _routes(environ: Mapping[str, str]) -> Iterator[Route]:
    for prefix in ("/mlflow/{deployment}", "/endpoints/{deployment}", ""):
        # With a deployment in the path, these routes need a key: they reveal names and load models.
        unnamed = not prefix
        yield Route("POST", f"{prefix}/invocations")
        yield Route("GET", f"{prefix}/ping", _ping, is_public=unnamed)
        if not prefix.startswith("/endpoints"):
            yield Route("GET", f"{prefix}/health", _ping, is_public=unnamed)
            yield Route("GET", f"{prefix}/version", _version, is_public=unnamed)
    # Source: Vertex AI, "Custom container requirements for prediction".
    if predict := environ.get("AIP_PREDICT_ROUTE"):
        yield Route("POST", predict.rstrip("/"))
    if health := environ.get("AIP_HEALTH_ROUTE"):
        yield Route("GET", health.rstrip("/"), _ping, is_public=True)


_COLUMN_NAMES: JSONSchema = {"type": ["array", "null"], "items": {"type": ["string", "integer"]}}

_REQUEST = any_of_schema(
    object_schema(
        ["dataframe_split"],
        dataframe_split=object_schema(["data"], columns=_COLUMN_NAMES, data=array_schema(array_schema({}))),
    ),
    object_schema(["dataframe_records"], dataframe_records=ITEMS),
    object_schema(["instances"], instances=ITEMS),
    object_schema(["inputs"], inputs=any_of_schema(COLUMNS, ITEMS)),
)


def _response_schema(targets: Sequence[Target]) -> JSONSchema:
    return object_schema(["predictions"], predictions=array_schema(targets_schema(targets)), **WARNINGS)


class MLflow:
    """Scoring protocol of MLflow, dialect ``mlflow``."""

    name = "mlflow"
    # Source: Amazon SageMaker, "Inference options": real-time inference takes payloads of up to 6 MB.
    max_body = 6 * 1024 * 1024
    request_template = RequestTemplate(
        "/mlflow/{deployment}/invocations",
        {"Authorization": "Bearer {key}"},
        {"dataframe_split": {"columns": "{names}", "data": "{matrix}"}},
    )
    openapi_spec = OpenAPISpec(
        "MLflow, SageMaker, Vertex AI",
        {"application/json": _REQUEST, "text/csv": {"type": "string"}},
        _response_schema,
        object_schema(
            ["error_code", "message"], error_code={"type": "string"}, message={"type": "string"}, **DETAILS
        ),
        answer_types=("text/csv",),
        keys=(("bearer",), ("x-api-key",), ("basic",)),
    )

    def __init__(self) -> None:
        self.routes: Sequence[Route] = tuple(_routes(os.environ))

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization: Bearer``, ``x-api-key``, or the password of ``Basic``.

        The only key that MLflow's client can send is a password, which it reads from the file ``.netrc``.
        """
        yield from ()
        return credentials_from_headers(request.headers, ("bearer", "basic"))

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the rows. Rows sent as objects or CSV stay undecoded; all other rows become `SplitRows`.

        Raises:
            UnsupportedMediaType: The body is neither JSON nor CSV, or its charset is not supported.
            InvalidInput: The body does not have exactly one member with rows, or has parameters.
        """
        content_type = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
        # MLflow's page names application/csv, but its server accepts only text/csv. Clients send either.
        if content_type in ("text/csv", "application/csv"):
            return Query((yield from decode_row_body(request)))
        members = yield from _read_members(request)
        yield from check_body(request, members, _FORMATS)
        if len((yield from read_body(request))) > LARGE:
            return Query((yield from run_long(_decode_rows, members)))
        return Query(_decode_rows(members))

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:  # noqa: ARG002
        """Encode ``predictions`` as JSON, or as CSV if the client prefers it.

        In JSON, the prediction for a row is a value, or an object if there are several outputs.
        """
        outputs = prediction.outputs
        columns = {output.name: output.values.tolist() for output in outputs}
        if best_media_type(request.headers.get("accept"), ("application/json", "text/csv")) == "text/csv":
            # SageMaker's own containers send a line per row and no header, and its clients expect that.
            values = [(output.name, output.values) for output in outputs]
            body = write_csv(values, len(prediction), header=False)
            return Response(200, body, [("content-type", "text/csv; charset=utf-8")])
        if len(outputs) == 1:
            members = {"predictions": columns[outputs[0].name]}
        else:
            members = {"predictions": columns_to_records(columns)}
        if prediction.warnings:
            members["warnings"] = list(prediction.warnings)
        return Response.json(members)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode ``error_code`` and ``message`` plus details such as ``missing_columns``."""
        code = _CODES.get(error.status, "BAD_REQUEST" if error.status < 500 else "INTERNAL_ERROR")
        return error_response(error, request.id, {"error_code": code, "message": error.message})


def _read_members(request: Request) -> Flow[dict[str, msgspec.Raw]]:
    """Return the members of the body, with every literal ``NaN`` replaced by null; see `_NAN`."""
    try:
        return (yield from read_json_members(request))
    except MalformedBody:
        if request.content is None or b"NaN" not in request.content:
            raise
    request.content = yield from run_long(_replace_nan, request.content)
    return (yield from read_json_members(request))


def _replace_nan(body: bytes) -> bytes:
    return _NAN.sub(lambda match: b"null" if match[0] == b"NaN" else match[0], body)


def _decode_rows(members: Mapping[str, msgspec.Raw]) -> bytes | SplitRows:
    formats = [name for name in _FORMATS if name in members]
    if len(formats) != 1:
        raise InvalidInput(f"Send the rows as exactly one of {', '.join(_FORMATS)}")
    for name in ("params", "parameters"):
        if name in members and decode_json(members[name], ANY):
            raise InvalidInput(
                f"{name} must be left out or empty: this deployment's model takes no parameters"
            )
    return _FORMATS[formats[0]](bytes(members[formats[0]]))


def _decode_split(raw: bytes) -> SplitRows:
    """Decode ``{"columns": […], "data": [[…]]}``. A member ``index`` is ignored."""
    members = decode_json(raw, _MEMBERS)
    check_unread_members(raw, members, ("columns", "data"))
    if "data" not in members:
        raise InvalidInput("dataframe_split has no data: send columns and data")
    names = decode_json(members.get("columns", msgspec.Raw(b"null")), _NAMES)
    # If the columns of a DataFrame have no names, pandas numbers them from 0.
    if names is None or names == list(range(len(names))):
        return SplitRows(None, decode_lists(members["data"]))
    return SplitRows([str(name) for name in names], decode_lists(members["data"]))


def _decode_inputs(raw: bytes) -> bytes | SplitRows:
    """Decode an object with a list of values per column, or a list of rows."""
    return rows_from_columns(raw) if raw[:1] == b"{" else rows_from_array(raw)


_FORMATS: Mapping[str, Callable[[bytes], bytes | SplitRows]] = {
    "dataframe_split": _decode_split,
    "dataframe_records": rows_from_array,
    "instances": rows_from_array,
    "inputs": _decode_inputs,
}
"""Decoders by the name of the member that has the rows."""
