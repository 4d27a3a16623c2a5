"""The DataRobot Prediction API: https://docs.datarobot.com, "Prediction API" and its reference.

::

    POST /predApi/v1.0/deployments/<deployment>/predictions      and below /deployments/ alone
    Authorization: Bearer <key>                                  rows as JSON or CSV, or in a form

    200  {"data": [{"predictionValues": [{"value": 0.26, "label": 1}, {"value": 0.74, "label": 0}],
                    "predictionThreshold": 0.5, "prediction": 0, "rowId": 0}]}
    422  {"message": "…"}

With ``Accept: text/csv`` the answer is CSV, its columns those of the page "Output format". Of two
classes the positive one comes first. Explanations, humility, exposure and time series are refused
where they are asked for.

Beyond the document: of a model with several outputs ``prediction`` is an object by target, and a
label of ``predictionValues`` the target's name and the class's; ``X-Model-Version`` tells the version that
scored; and whoever accepts ``application/problem+json`` is told an error in all its parts (RFC 9457).
"""

import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import parse_qsl

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
from ..http import Request, Response, token_of
from ..http.negotiation import preferred
from ..scoring import Prediction, Query
from .base import Catalog, Route
from .datarobot_document import DOCUMENT, RequestLineTooLong
from .datarobot_rows import as_csv, as_json
from .row_bodies import row_body
from .sample import Sample

__all__ = ["DataRobot"]

_PROBLEM = "application/problem+json"

_SCHEMES = ("bearer", "token", "basic")

_CHALLENGE = {"www-authenticate": 'Bearer realm="modelgate"'}

# "File input", the example's response.
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
    """A 401 whose message is the service's own."""


def _preflight(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001  an answer takes both
    yield from ()
    return Response(204, headers=[("allow", "OPTIONS, POST"), *_CORS])


def _no_predictions(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001
    yield from ()
    # "Error responses", the example: of a URL that is not found, and yet 400.
    raise RequestError(
        "The requested URL was not found on the server.  If you entered the URL manually,"
        " please check your spelling and try again."
    )


def _no_explanations(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001
    yield from ()
    raise InvalidInput("Prediction explanations are not available for this deployment")


_PREDAPI = "/predApi/v1.0/deployments/{deployment}"
_SERVERLESS = "/deployments/{deployment}"


class DataRobot:
    """The dialect ``datarobot``.

    Args:
        datarobot_key: what callers must send as the header field ``datarobot-key``, beside their own
            key; None to look at no such field.
        escape_formulas: whether text in CSV answers that a spreadsheet would take for a formula gets
            a ``'`` in front.

    Raises:
        ConfigurationError: *datarobot_key* is no text that a header field can hold.
    """

    name = "datarobot"
    max_body = 50 * 1024 * 1024
    routes: Sequence[Route] = (
        Route("POST", f"{_PREDAPI}/predictions"),
        Route("OPTIONS", f"{_PREDAPI}/predictions", _preflight, open=True),
        Route("POST", f"{_PREDAPI}/predictionExplanations", _no_explanations),
        Route("POST", _PREDAPI, _no_predictions),
        Route("POST", f"{_SERVERLESS}/predictions"),
        Route("OPTIONS", f"{_SERVERLESS}/predictions", _preflight, open=True),
    )
    sample = Sample(f"{_PREDAPI}/predictions", {"Authorization": "Bearer {key}"}, "{rows}")
    document = DOCUMENT

    def __init__(self, *, datarobot_key: str | None = None, escape_formulas: bool = False) -> None:
        if datarobot_key is not None and not _is_field_value(datarobot_key):
            raise ConfigurationError(
                "datarobot_key: accepts printable ASCII without white space at its ends, or None"
            )
        self._key = None if datarobot_key is None else _digest(datarobot_key)
        if datarobot_key is not None:
            # Every caller sends it, and yet no gate tells it.
            headers = {**self.sample.headers, "datarobot-key": "{datarobot-key}"}
            self.sample = replace(self.sample, headers=headers)
            keys = [[*scheme, "datarobot-key"] for scheme in self.document.keys]
            self.document = replace(self.document, keys=keys)
        self._escape_formulas = escape_formulas

    def credentials(self, request: Request) -> Flow[str | None]:
        """The key of ``Authorization``: ``Bearer``, ``Token``, or ``Basic`` with any user name.

        Raises:
            Unauthorized: the field names a scheme and no key.
        """
        yield from ()
        token = token_of(request, _SCHEMES)
        if token == "" and (request.headers.get("authorization") or "").strip().lower() in _SCHEMES:
            raise _Unauthenticated(
                "Invalid Authorization header. No credentials provided.", headers=_CHALLENGE
            )
        return token

    def decode(self, request: Request) -> Flow[Query]:
        """The rows of the body, and what the URL asks about them.

        Raises:
            Unauthorized: ``datarobot-key`` is wanted, and missing or another.
            InvalidInput: a query parameter is unknown, not available, or has a wrong value.
        """
        self._check_key(request)
        _refuse_long_request_line(request)
        keep = _kept(request.query_string)
        return Query((yield from row_body(request)), max_rows=None, keep=keep)

    def encode(self, request: Request, query: Query, prediction: Prediction) -> Response:
        """A row of the answer for each row, in their order; in CSV where the caller would rather have that."""
        kind = preferred(request.headers.get("accept"), ("application/json", "text/csv"))
        if kind == "text/csv":
            body = as_csv(prediction, escape_formulas=self._escape_formulas)
        else:
            body = as_json(prediction)
        assert query.predictor is not None
        headers = [
            ("content-type", kind if kind == "application/json" else f"{kind}; charset=utf-8"),
            ("x-datarobot-model-cache-hit", "true" if prediction.cache_hit else "false"),
            ("x-datarobot-model-id", query.predictor.model_id),
            ("x-model-version", query.predictor.version),
            *_told(request),
            *_CORS,
        ]
        return Response(200, body, headers)

    def encode_error(self, request: Request, error: AnswerableError) -> Response:
        """``{"message": …}``, which says everything: clients show no more than that."""
        unprocessable = isinstance(error, InvalidInput) and not isinstance(error, UnknownColumns)
        status = 422 if unprocessable else error.status
        if _PROBLEM in (request.headers.get("accept") or ""):
            response = _problem(error, status)
        else:
            response = Response.json({"message": _message(error)}, status)
        response.headers += [*_told(request), *error.headers.items()]
        return response

    def _check_key(self, request: Request) -> None:
        if self._key is None:
            return
        told = request.headers.get("datarobot-key")
        if told is None or not hmac.compare_digest(_digest(told), self._key):
            # The words for one that is missing, empty or wrong.
            raise _Unauthenticated("The datarobot-key header is missing", headers=_CHALLENGE)


def _is_field_value(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable() and text.strip() == text != ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _refuse_long_request_line(request: Request) -> None:
    # The server has taken it apart, and a proxy may have changed its path: this is what is left of it.
    line = f"{request.method} {request.root_path}{request.path}?{request.query_string} HTTP/1.1"
    if len(line) > RequestLineTooLong.longest:
        raise RequestLineTooLong


_EXPLANATIONS = "prediction explanations are"
_TIME_SERIES = "time series predictions are"

_UNAVAILABLE: Mapping[str, tuple[str, str | None]] = {
    "maxExplanations": (_EXPLANATIONS, "0"),
    "maxCodes": (_EXPLANATIONS, "0"),
    "maxNgramExplanations": (_EXPLANATIONS, "0"),
    "thresholdLow": (_EXPLANATIONS, None),
    "thresholdHigh": (_EXPLANATIONS, None),
    # Of SHAP no number of explanations means all of them.
    "explanationAlgorithm": (_EXPLANATIONS, "xemp"),
    "excludeAdjustedPredictions": ("exposure-adjusted predictions are", "true"),
    "forecastPoint": (_TIME_SERIES, None),
    "relaxKnownInAdvanceFeaturesCheck": (_TIME_SERIES, "false"),
    "predictionsStartDate": (_TIME_SERIES, None),
    "predictionsEndDate": (_TIME_SERIES, None),
}
"""What each parameter asks for that no deployment has, and with which value it asks for nothing."""


def _kept(query_string: str) -> Sequence[str] | Literal["all"] | None:
    """The columns to give back, as `Query.keep` has them.

    Raises:
        InvalidInput: a parameter is unknown, not available, or has a wrong value.
    """
    columns, everything = list[str](), False
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        if name == "passthroughColumnsSet":
            if value != "all":
                raise InvalidInput(f"{name!r}: value is not exactly 'all'")
            everything = True
        elif name not in _UNAVAILABLE and name != "passthroughColumns":
            raise InvalidInput(f"{name!r}: {name} is not allowed key")
        elif not value:
            raise InvalidInput(f"{name!r}: blank value is not allowed")
        elif name == "passthroughColumns":
            columns.append(value)
        else:
            feature, nothing = _UNAVAILABLE[name]
            if value.lower() != nothing:
                raise InvalidInput(f"{name!r}: {feature} not available for this deployment")
    if columns and everything:
        raise InvalidInput(
            "passthroughColumns and passthroughColumnsSet cannot both be passed in one request"
        )
    return "all" if everything else columns or None


def _told(request: Request) -> Iterator[tuple[str, str]]:
    """The header fields that every answer has."""
    yield "x-datarobot-execution-time", str(round((time.perf_counter() - request.started) * 1000))
    if request.id is not None:
        yield "x-datarobot-request-id", request.id


def _problem(error: AnswerableError, status: int) -> Response:
    told = {"status": status, "code": error.code, "detail": _message(error), **error.details}
    response = Response.json(told, status)
    response.set("content-type", _PROBLEM)
    return response


def _message(error: AnswerableError) -> str:
    if type(error) is Unauthorized:
        return "Invalid API token"
    if isinstance(error, UnknownColumns):
        # The service writes Python 2.
        names = ", ".join(f"u{name!r}" for name in error.columns)
        return f"passthroughColumns do not match columns, columns expected but not found: [{names}]"
    if isinstance(error, MissingColumns) and error.details:
        told: Mapping[str, Any] = error.details
        faults = [", ".join(told["missing_columns"])]
        faults += [f"{column} {rule}" for column, rule in told.get("errors", {}).items()]
        faults += [f"{sent}: did you mean {name}?" for sent, name in told.get("did_you_mean", {}).items()]
        return f"{error.message}: {'; '.join(faults)}"
    return error.message
