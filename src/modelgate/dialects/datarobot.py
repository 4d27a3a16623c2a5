"""DataRobot Prediction API.

Source: https://docs.datarobot.com, "DataRobot Prediction API" and its reference::

    POST /predApi/v1.0/deployments/<deployment>/predictions      also as /deployments/<deployment>/…
    POST /predApi/v1.0/deployments/<deployment>/predictionExplanations
    Authorization: Bearer <key>                                  rows as JSON, CSV or a file in a form

    200  {"data": [{"predictionValues": [{"value": 0.26, "label": 1}, {"value": 0.74, "label": 0}],
                    "predictionThreshold": 0.5, "prediction": 0, "rowId": 0}]}
    422  {"message": "…"}

With ``Accept: text/csv`` the response is CSV with the columns of DataRobot's page "Output format". The
positive class of a binary classifier comes first. Explanations are described in `datarobot_explanations`. For
a `modelgate.Forecaster`, the response has a row for each predicted date; see `datarobot_forecast`.

Extensions to the document:

* For a model with several outputs, ``prediction`` is an object with a member per target. A label in
  ``predictionValues`` is the target's name, ``_`` and the class.
* ``X-Model-Version`` is the version of the model that scored.
* A client that accepts ``application/problem+json`` gets the complete error (RFC 9457).
"""

import hashlib
import hmac
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ..errors import (
    AnswerableError,
    ConfigurationError,
    InvalidInput,
    MissingColumns,
    RequestError,
    Unauthorized,
    UnknownColumns,
)
from ..flow import Flow
from ..http import Request, Response, credentials_from_headers, parse_authorization
from ..http.negotiation import best_media_type
from ..http.routing import Route
from ..inference import Prediction
from ..scoring import Query
from ._errors import PROBLEM, problem_response
from ._explanations import EXPLAINED_WEIGHT, explanation_headers
from ._exposure import EXCLUDE_ADJUSTED, includes_adjusted
from ._row_body import decode_row_body
from .datarobot_explanations import (
    EXPLANATION_PARAMETERS,
    EXPLANATION_PATH,
    is_explanation_route,
    parse_explain,
)
from .datarobot_forecast import FORECAST_OPENAPI_SPEC, forecast_to_csv, forecast_to_json, split_options
from .datarobot_openapi import OPENAPI_SPEC, RequestLineTooLong
from .datarobot_rows import rows_to_csv, rows_to_json
from .request_template import RequestTemplate

__all__ = ["DataRobot"]


_SCHEMES = ("bearer", "token", "basic")

_CHALLENGE = {"www-authenticate": 'Bearer realm="modelgate"'}

# The headers of the example response in the section "File input".
_CORS = (
    ("access-control-allow-methods", "OPTIONS, POST"),
    ("access-control-allow-credentials", "true"),
    (
        "access-control-expose-headers",
        (
            "Content-Type,Content-Length,X-DataRobot-Execution-Time,X-DataRobot-Model-Cache-Hit,"
            "X-DataRobot-Model-Id,X-DataRobot-Request-Id"
        ),
    ),
    ("access-control-allow-headers", "Content-Type,Authorization,datarobot-key"),
)


class _Unauthenticated(Unauthorized):
    """Error for a response with status 401 and the exact message from DataRobot's document."""


def _answer_preflight(request: Request) -> Flow[Response]:  # noqa: ARG001
    yield from ()
    return Response(204, headers=[("allow", "OPTIONS, POST"), *_CORS])


def _reject_unknown_url(request: Request) -> Flow[Response]:  # noqa: ARG001
    yield from ()
    # In the section "Error responses", the example for a URL that does not exist has status 400, not 404.
    raise RequestError(
        "The requested URL was not found on the server.  If you entered the URL manually,"
        " please check your spelling and try again."
    )


_PREDAPI = "/predApi/v1.0/deployments/{deployment}"
_SERVERLESS = "/deployments/{deployment}"


class DataRobot:
    """DataRobot Prediction API, dialect ``datarobot``.

    Args:
        datarobot_key: Value that callers must send in the header ``datarobot-key``, in addition to
            their own key. If None, the header is ignored.
        escape_formulas: Whether CSV responses have a ``'`` before any text that a spreadsheet would run as a
            formula.
        original_timestamps: Whether forecasts in JSON have the member ``originalFormatTimestamp`` with the
            date as it was sent. According to DataRobot's document, the service has it only "if enabled by
            your administrator".

    Raises:
        ConfigurationError: *datarobot_key* cannot be the value of a header.
    """

    name = "datarobot"
    max_body = 50 * 1024 * 1024
    routes: Sequence[Route] = (
        Route("POST", f"{_PREDAPI}/predictions"),
        Route("OPTIONS", f"{_PREDAPI}/predictions", _answer_preflight, is_public=True),
        Route("POST", f"{_PREDAPI}{EXPLANATION_PATH}"),
        Route("POST", _PREDAPI, _reject_unknown_url),
        Route("POST", f"{_SERVERLESS}/predictions"),
        Route("OPTIONS", f"{_SERVERLESS}/predictions", _answer_preflight, is_public=True),
        Route("POST", f"{_SERVERLESS}{EXPLANATION_PATH}"),
    )
    request_template = RequestTemplate(f"{_PREDAPI}/predictions", {"Authorization": "Bearer {key}"}, "{rows}")
    openapi_spec = OPENAPI_SPEC
    forecast_openapi_spec = FORECAST_OPENAPI_SPEC

    def __init__(
        self,
        *,
        datarobot_key: str | None = None,
        escape_formulas: bool = False,
        original_timestamps: bool = False,
    ) -> None:
        if datarobot_key is not None and not _is_field_value(datarobot_key):
            # The value is a secret, so the message does not quote it.
            raise ConfigurationError(
                "datarobot_key must be printable ASCII without surrounding white space, or None"
            )
        self._key = None if datarobot_key is None else _digest(datarobot_key)
        if datarobot_key is not None:
            # The templates show a placeholder, because the value is a secret.
            headers = {**self.request_template.headers, "datarobot-key": "{datarobot-key}"}
            self.request_template = replace(self.request_template, headers=headers)
            keys = [[*scheme, "datarobot-key"] for scheme in self.openapi_spec.keys]
            self.openapi_spec = replace(self.openapi_spec, keys=keys)
            self.forecast_openapi_spec = replace(self.forecast_openapi_spec, keys=keys)
        self._escape_formulas = escape_formulas
        self._original_timestamps = original_timestamps

    def credentials(self, request: Request) -> Flow[str | None]:
        """Return the key from ``Authorization``: ``Bearer``, ``Token``, or ``Basic`` with any user name.

        The key can also be in ``x-api-key``, for platforms that use ``Authorization`` themselves.

        Raises:
            Unauthorized: The header has a scheme but no key.
        """
        yield from ()
        token = parse_authorization(request.headers, _SCHEMES)
        if token == "" and (request.headers.get("authorization") or "").strip().lower() in _SCHEMES:
            raise _Unauthenticated(
                "Invalid Authorization header. No credentials provided.", headers=_CHALLENGE
            )
        return credentials_from_headers(request.headers, _SCHEMES)

    def decode(self, request: Request) -> Flow[Query]:
        """Decode the rows of the body and the options of the query string.

        Raises:
            Unauthorized: ``datarobot-key`` is required, and missing or wrong.
            RequestLineTooLong: The request line exceeds the service's limit.
            InvalidInput: A query parameter is unknown, not available, or has a wrong value.
        """
        self._check_key(request)
        _check_request_line(request)
        forecast, parameters = split_options(request.query_string) if request.query_string else (None, ())
        passthrough, explain = _parse_passthrough_columns(parameters), parse_explain(request)
        adjusted = includes_adjusted(request.query_string)
        if explain is not None:
            request.weigh_body(EXPLAINED_WEIGHT)
        rows = yield from decode_row_body(request)
        return Query(
            rows,
            max_rows=None,
            passthrough_columns=passthrough,
            explain=explain,
            adjusted=adjusted,
            forecast=forecast,
        )

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode one item per row, in the order of the rows, as JSON, or as CSV if the client prefers it."""
        kind = best_media_type(request.headers.get("accept"), ("application/json", "text/csv"))
        if kind == "text/csv":
            body = rows_to_csv(prediction, query, escape_formulas=self._escape_formulas)
        else:
            body = rows_to_json(prediction, is_explanation_route=is_explanation_route(request))
        return _respond(request, query, prediction, kind, body)

    def encode_forecast(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """Encode one item per predicted row of a forecaster, as JSON, or as CSV if the client prefers it."""
        assert query.predictor is not None and query.predictor.forecaster is not None
        kind = best_media_type(request.headers.get("accept"), ("application/json", "text/csv"))
        if kind == "text/csv":
            spec = query.predictor.forecaster.spec
            body = forecast_to_csv(prediction, spec, escape_formulas=self._escape_formulas)
        else:
            body = forecast_to_json(prediction, original_timestamps=self._original_timestamps)
        return _respond(request, query, prediction, kind, body)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """Encode the error as ``{"message": …}``, or as problem details if the client accepts them.

        The message contains the details of the error, because clients show nothing else.
        """
        unprocessable = isinstance(error, InvalidInput) and not isinstance(error, UnknownColumns)
        status = 422 if unprocessable else error.status
        if PROBLEM in (request.headers.get("accept") or ""):
            response = problem_response(error, request.id, status=status, detail=_message(error))
        else:
            response = Response.json({"message": _message(error)}, status)
            response.headers += error.headers.items()
        response.headers += _common_headers(request)
        return response

    def _check_key(self, request: Request) -> None:
        if self._key is None:
            return
        key = request.headers.get("datarobot-key")
        if key is None or not hmac.compare_digest(_digest(key), self._key):
            # The reference has this one message for a key that is missing, empty or wrong.
            raise _Unauthenticated("The datarobot-key header is missing", headers=_CHALLENGE)


def _respond(
    request: Request, query: Query, prediction: Prediction, kind: str, body: bytes | Iterator[bytes]
) -> Response:
    assert query.predictor is not None
    headers = [
        ("content-type", kind if kind == "application/json" else f"{kind}; charset=utf-8"),
        ("x-datarobot-model-cache-hit", "true" if prediction.cache_hit else "false"),
        ("x-datarobot-model-id", query.predictor.model_id),
        ("x-model-version", query.predictor.version),
        *explanation_headers(prediction),
        *_common_headers(request),
        *_CORS,
    ]
    return Response(200, body, headers)


def _is_field_value(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable() and text.strip() == text != ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _check_request_line(request: Request) -> None:
    # Rebuild the line, because the server has already parsed it. A proxy may have changed the path.
    line = f"{request.method} {request.root_path}{request.path}?{request.query_string} HTTP/1.1"
    if len(line) > RequestLineTooLong.longest:
        raise RequestLineTooLong


def _parse_passthrough_columns(
    parameters: Iterable[tuple[str, str]],
) -> Sequence[str] | Literal["all"] | None:
    """Return the passthrough columns, as in `Query.passthrough_columns`.

    Args:
        parameters: Parameters of the query string, without those of forecasts.

    Raises:
        InvalidInput: A parameter is unknown, not available, or has a wrong value.
    """
    columns, is_all = list[str](), False
    for name, value in parameters:
        if name == "passthroughColumnsSet":
            if value != "all":
                raise InvalidInput(f"{name!r}: value is not exactly 'all'")
            is_all = True
        elif name not in (*EXPLANATION_PARAMETERS, "passthroughColumns", EXCLUDE_ADJUSTED):
            # The text of the service.
            raise InvalidInput(f"{name!r}: {name} is not allowed key")
        elif not value:
            raise InvalidInput(f"{name!r}: blank value is not allowed")
        elif name == "passthroughColumns":
            columns.append(value)
    if columns and is_all:
        raise InvalidInput(
            "passthroughColumns and passthroughColumnsSet cannot both be passed in one request"
        )
    return "all" if is_all else columns or None


def _common_headers(request: Request) -> Iterator[tuple[str, str]]:
    """Yield the headers that every response has."""
    yield "x-datarobot-execution-time", str(round((time.perf_counter() - request.started) * 1000))
    if request.id is not None:
        yield "x-datarobot-request-id", request.id


def _message(error: AnswerableError) -> str:
    if type(error) is Unauthorized:
        return "Invalid API token"
    if isinstance(error, UnknownColumns):
        # The reference quotes the names as Python 2 does, u'Name', and clients may match that message.
        names = ", ".join(f"u{name!r}" for name in error.columns)
        return f"passthroughColumns do not match columns, columns expected but not found: [{names}]"
    if isinstance(error, MissingColumns) and error.details:
        details: Mapping[str, Any] = error.details
        faults = [", ".join(details["missing_columns"])]
        faults += [f"{column} {rule}" for column, rule in details.get("errors", {}).items()]
        suggestions = details.get("did_you_mean", {}).items()
        faults += [f"{sent}: did you mean {name}?" for sent, name in suggestions]
        return f"{error.message}: {'; '.join(faults)}"
    return error.message
