"""HTTP requests, responses, routes and bodies, independent of any framework."""

from .credentials import Headers, credentials_from_headers, describe_missing_key, parse_authorization
from .request import (
    MAX_BODY,
    PLAIN_JSON,
    UNUSUAL_FIELDS,
    USUAL_BODY,
    USUAL_LENGTH_DIGITS,
    BodySizeLimiter,
    Request,
    WireFormat,
)
from .response import Response, error_response
from .routing import Route
from .stack import CallNext, call_encoding_errors, check_wrapping, encode_error, http_stack

__all__ = [
    "MAX_BODY",
    "PLAIN_JSON",
    "UNUSUAL_FIELDS",
    "USUAL_BODY",
    "USUAL_LENGTH_DIGITS",
    "BodySizeLimiter",
    "CallNext",
    "Headers",
    "Request",
    "Response",
    "Route",
    "WireFormat",
    "call_encoding_errors",
    "check_wrapping",
    "credentials_from_headers",
    "describe_missing_key",
    "encode_error",
    "error_response",
    "http_stack",
    "parse_authorization",
]
