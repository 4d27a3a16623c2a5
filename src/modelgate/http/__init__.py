"""HTTP as layers and dialects see it: requests, responses, and bodies read under limits."""

from .messages import (
    MAX_BODY,
    PLAIN,
    BodyMeter,
    Headers,
    Request,
    Response,
    Wire,
    answered,
    error_response,
    head_credentials,
    http_stack,
    refusal,
    token_of,
)

__all__ = [
    "MAX_BODY",
    "PLAIN",
    "BodyMeter",
    "Headers",
    "Request",
    "Response",
    "Wire",
    "answered",
    "error_response",
    "head_credentials",
    "http_stack",
    "refusal",
    "token_of",
]
