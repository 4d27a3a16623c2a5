"""Encode errors in forms that several dialects share."""

import msgspec

from ..errors import AnswerableError, InvalidInput
from ..http import Request, Response, error_response
from ..schema.report import SHOWN_NAMES

__all__ = ["PROBLEM", "json_error", "problem_response"]

PROBLEM = "application/problem+json"


def problem_response(
    error: AnswerableError, request_id: str | None, *, status: int | None = None, detail: str = ""
) -> Response:
    """Return *error* as problem details (RFC 9457). The items of ``error.details`` become members.

    Args:
        error: Error to encode.
        request_id: Id of the request, if it has one.
        status: HTTP status; by default the status of *error*.
        detail: Message for the caller; by default the message of *error*.
    """
    status = error.status if status is None else status
    response = Response(status, headers=[("content-type", PROBLEM), *error.headers.items()])
    members = {
        "type": "about:blank",
        "title": response.status_line.partition(" ")[2],
        "status": status,
        "code": error.code,
        "detail": detail or error.message,
        **error.details,
    }
    if request_id is not None:
        members["request_id"] = request_id
    response.body = msgspec.json.encode(members)
    return response


def json_error(request: Request, error: AnswerableError) -> Response:
    """Return a response with ``{"error": message}`` and, for invalid input only, the details of *error*.

    If columns are missing, the message names them.

    Use this for protocols whose clients show nothing but the message.
    """
    if not isinstance(error, InvalidInput):
        error.details.clear()
    missing = error.details.get("missing_columns")
    if not isinstance(missing, list):
        return error_response(error, request.id)
    message = f"{error.message}: {', '.join(missing[:SHOWN_NAMES])}"
    return error_response(error, request.id, {"error": message})
