"""Errors raised by a client: the errors of the gate, restored from its responses, and `ClientError`.

* ModelgateError
  + RequestError, ServingError        error response of a gate; see `modelgate.errors`
  + ClientError
    - ConnectionFailed                no connection, a broken one, or no response in time
    - UnexpectedResponse              not a gate's response, or a redirect
"""

import math
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from .. import errors as tree
from ..errors import AnswerableError, HumilityError, ModelgateError, RequestError, ServingError
from .retry import RETRIED, retry_after
from .rows import Rows

__all__ = [
    "LINE",
    "ClientError",
    "ConnectionFailed",
    "UnexpectedResponse",
    "error_from_response",
    "is_transient",
    "parse_invalid_rows",
    "shift_rows",
]


class ClientError(ModelgateError):
    """Base class for errors that are not error responses of a gate."""


class ConnectionFailed(ClientError):
    """The connection failed or was closed, or no response came in time.

    Attributes:
        retried: Whether the client retries the request after this error.
    """

    def __init__(self, message: str, *, retried: bool) -> None:
        self.retried = retried
        super().__init__(message)


class UnexpectedResponse(ClientError):
    """The response is not from a gate, or not in the client's dialect ``native``.

    Attributes:
        status: HTTP status.
        retry_after: Seconds that the server requests to wait before a retry; None if it requests none.
    """

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


_KINDS: dict[str, type[AnswerableError]] = {
    kind.code: kind
    for kind in map(tree.__dict__.get, tree.__all__)
    if isinstance(kind, type) and issubclass(kind, AnswerableError)
}

# A proxy in front of the gate may also send these statuses, with a body of its own.
_BY_STATUS: dict[int, type[AnswerableError]] = {
    401: tree.Unauthorized,
    403: tree.Forbidden,
    413: tree.BodyTooLarge,
    429: tree.RateLimitExceeded,
    503: tree.Overloaded,
}

_ADVICE: dict[type[AnswerableError], str] = {
    tree.Unauthorized: "Check that the key is complete and belongs to this server.",
    tree.InsufficientScope: "Ask the key's issuer for a key with access to this deployment.",
    tree.KeyInactive: "Ask the key's issuer for a new one.",
    tree.NotFound: "Check that the URL is the mount point plus the name of a deployment, such as"
    " https://host/ml/churn, and that the gate has the dialect native.",
    tree.PredictionError: "The cause is in the server's log.",
    tree.DeadlineExceeded: "If this repeats, send fewer rows per request.",
    ServingError: "The cause is in the server's log.",
}


_ADVICE_AFTER_SUCCESS: dict[type[AnswerableError], str] = {
    **_ADVICE,
    tree.Unauthorized: "The key was accepted before: it may have been removed.",
    tree.NotFound: "The deployment answered before: it may have been removed.",
}


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    url: str,
    *,
    key_header: str | None,
    has_worked: bool,
) -> ModelgateError:
    """Return the exception for an unsuccessful response.

    Args:
        status: HTTP status of the response.
        headers: Headers of the response, with lower-case names.
        content: Body of the response.
        url: URL of the request.
        key_header: Header field in which the key was sent; None if the request had no key.
        has_worked: Whether a request to *url* with the same key has succeeded before. If True, the message
            does not suggest that the URL or the key is wrong.
    """
    if 300 <= status < 400:
        return UnexpectedResponse(status, _describe_redirect(status, url, headers.get("location")))
    problem = _decode_object(content)
    message = problem.get("detail") or problem.get("message") or problem.get("error")
    kind = _KINDS.get(str(problem.get("code")))
    if kind is not None and status in RETRIED and kind.status != status:
        kind = None  # A code of a proxy, because a gate sends each code with one status.
    kind = kind or _BY_STATUS.get(status)
    # With a status in RETRIED, a proxy may also send a message and a request id.
    is_from_gate = isinstance(message, str) and "x-request-id" in headers and status not in RETRIED
    if kind is None and status >= 400 and is_from_gate:
        kind = tree.NotFound if status == 404 else RequestError if status < 500 else ServingError
    if kind is None:
        return UnexpectedResponse(
            status,
            _describe_unexpected(status, headers, url, has_worked=has_worked),
            retry_after=retry_after(headers, time.time()),
        )
    if kind is tree.MissingColumns and not problem.get("missing_columns"):
        kind = tree.InvalidInput  # A gate that hides its schema does not name the columns.
    text = message if isinstance(message, str) else f"{urlsplit(url).netloc} returned {status}"
    advice = (_ADVICE_AFTER_SUCCESS if has_worked else _ADVICE).get(kind, "")
    if kind is tree.Unauthorized and key_header is None:
        advice = "No key was sent: pass key=…, or --key-env VARIABLE on the command line."
    elif kind is tree.Unauthorized and text.startswith("Missing API key"):
        advice = f"The key was sent in {key_header}: pass key_header=…, or --key-header on the command line."
    return _restore(kind, f"{text.rstrip('.')}. {advice}".strip() if advice else text, problem, headers)


def _restore(
    kind: type[AnswerableError], message: str, problem: Mapping[str, Any], headers: Mapping[str, str]
) -> AnswerableError:
    """Return an exception of class *kind* with its attributes set, without calling its constructor."""
    error = kind.__new__(kind)
    details = {name: problem[name] for name in problem if name not in _BASE_MEMBERS}
    AnswerableError.__init__(error, message, details=details, headers=headers)
    attributes = {name: details.get(name, empty) for name, empty in _ATTRIBUTES.get(kind, {}).items()}
    if kind in (tree.RateLimitExceeded, tree.RequestInProgress) or issubclass(kind, ServingError):
        pause = retry_after(headers, time.time())
        attributes["retry_after"] = None if pause is None else math.ceil(pause)
    vars(error).update(attributes)
    error.request_id = headers.get("x-request-id")
    if error.request_id is not None:
        error.add_note(f"request id {error.request_id}")
    return error


def is_transient(error: ModelgateError) -> bool:
    """Return True if the same request may succeed later."""
    # Each request has its own Idempotency-Key, so only an earlier attempt of it can be in progress.
    is_in_progress = isinstance(error, tree.RequestInProgress)
    return is_in_progress or getattr(error, "status", None) in RETRIED or getattr(error, "retried", False)


_BASE_MEMBERS = ("status", "code", "detail", "message", "error")

_ATTRIBUTES: dict[type[AnswerableError], dict[str, Any]] = {
    tree.MissingColumns: {"missing_columns": [], "errors": {}},
    tree.InvalidValues: {"errors": {}},
    tree.UnknownColumns: {"columns": []},
    tree.BodyTooLarge: {"limit": None},
    tree.BatchTooLarge: {"limit": None},
    tree.KeyInactive: {"key_id": None, "state": None},
    tree.DeploymentLoading: {"seconds": None},
    tree.HumilityError: {"rows": []},
}


def _decode_object(content: bytes) -> dict[str, Any]:
    """Decode a JSON object. Anything else is returned as an empty dict."""
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _describe_unexpected(status: int, headers: Mapping[str, str], url: str, *, has_worked: bool) -> str:
    content_type = (headers.get("content-type") or "no content type").partition(";")[0]
    shown = f"{url} returned {status} with {content_type}, which is not a response of a gate"
    if status in RETRIED:
        return f"{shown}: a proxy did not get a response from the server in time"
    if has_worked or status >= 500:
        return f"{shown}: see the log of the server, or of the proxy in front of it"
    return f"{shown}. The URL must be the mount point plus the name of a deployment, such as https://host/ml/churn"


def _describe_redirect(status: int, url: str, location: str | None) -> str:
    source, target = urlsplit(url), urlsplit(location or "")
    if location is None:
        return f"{source.netloc} returned {status}, a redirect without a target: see the log of the server"
    if target.netloc in ("", source.netloc) and target.scheme in ("", source.scheme):
        shown = f"the path {target.path}"
    else:
        shown = f"{target.scheme or source.scheme}://{target.netloc}{target.path}"
    return (
        f"{source.netloc} returned {status}, a redirect to {shown}. It was not followed, to keep the key"
        " from being sent there. If you trust the target, pass it as the URL"
    )


_ROWS = re.compile(r" \(row (\d+(?:, \d+)*)(?: and (\d+) more)?\)")


LINE = re.compile(r"^Line (\d+) of the CSV body ")


def shift_rows(error: AnswerableError, offset: int, batch: Rows) -> None:
    """Convert row numbers within the batch to row numbers within all rows, in the messages of *error*.

    Args:
        error: Error response of the gate to the batch.
        offset: Number of the batch's first row within all rows.
        batch: Rows of the batch. If it has only one row, the gate's messages contain no row number.
    """

    def shift_match(match: re.Match[str]) -> str:
        numbers = ", ".join(str(int(number) + offset) for number in match[1].split(", "))
        return f" (row {numbers}{f' and {match[2]} more' if match[2] else ''})"

    def shift_text(text: str) -> str:
        return f"{text} (row {offset})" if len(batch) == 1 else _ROWS.sub(shift_match, text)

    if isinstance(error, HumilityError):
        error.rows = error.details["rows"] = [row + offset for row in error.rows]
    by_column = getattr(error, "errors", {})
    by_column.update({column: shift_text(rule) for column, rule in by_column.items()})
    line = LINE.match(error.message)
    row = batch.row_at(int(line[1])) if line is not None else None
    if line is not None and row is not None:
        error.message = f"Row {offset + row} of the CSV {error.message[line.end() :]}"
    else:
        error.message = shift_text(error.message)
    error.args = (error.message,)


def parse_invalid_rows(errors: Mapping[str, str]) -> tuple[dict[int, list[str]], bool]:
    """Read the numbers of invalid rows from a gate's messages.

    Args:
        errors: Messages by column.

    Returns:
        The broken rules of each row, and whether the messages name all invalid rows.
    """
    rules: dict[int, list[str]] = {}
    is_complete = bool(errors)
    for column, text in errors.items():
        start = 0
        for match in _ROWS.finditer(text):
            rule = f"{column} {text[start : match.start()].removeprefix('; ')}"
            for number in match[1].split(", "):
                rules.setdefault(int(number), []).append(rule)
            is_complete = is_complete and match[2] is None
            start = match.end()
        is_complete = is_complete and start == len(text)
    return rules, is_complete
