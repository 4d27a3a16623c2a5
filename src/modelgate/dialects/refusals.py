"""Errors of protocols whose clients show their user one sentence."""

from ..errors import AnswerableError
from ..http import Request, Response, error_response
from ..schema.report import SHOWN_NAMES

__all__ = ["refusal"]


def refusal(request: Request, error: AnswerableError) -> Response:
    """``{"error": message}`` with details beside it; the message itself names the missing columns."""
    missing = error.details.get("missing_columns")
    if not isinstance(missing, list):
        return error_response(request, error)
    told = f"{error.message}: {', '.join(missing[:SHOWN_NAMES])}"
    return error_response(request, error, {"error": told})
