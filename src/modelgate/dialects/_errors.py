"""Error responses for protocols whose clients show nothing but the error message."""

from ..errors import AnswerableError
from ..http import Request, Response, error_response
from ..schema.report import SHOWN_NAMES

__all__ = ["json_error"]


def json_error(request: Request, error: AnswerableError) -> Response:
    """Return ``{"error": message}`` and the error's details. The message also names missing columns."""
    missing = error.details.get("missing_columns")
    if not isinstance(missing, list):
        return error_response(error, request.id)
    message = f"{error.message}: {', '.join(missing[:SHOWN_NAMES])}"
    return error_response(error, request.id, {"error": message})
