"""What a client raises: the errors of the gate, as it would raise them itself, and those that no gate told.

* ModelgateError
  + RequestError, ServingError        as the gate told them: see `modelgate.errors`
  + ClientError
    - ConnectionFailed                there is no connection, it was cut, or no answer came in time
    - UnexpectedAnswer                what answers is no gate, or sends the caller elsewhere
"""

import math
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from .. import errors as tree
from ..errors import AnswerableError, ModelgateError, RequestError, ServingError
from .retry import RETRIED, retry_after
from .rows import Rows

__all__ = [
    "LINE",
    "ClientError",
    "ConnectionFailed",
    "UnexpectedAnswer",
    "error_of",
    "is_passing",
    "rows_at_fault",
    "shifted",
]


class ClientError(ModelgateError):
    """No answer of a gate."""


class ConnectionFailed(ClientError):
    """There is no connection, it was cut, or no answer came in time.

    Attributes:
        retried: whether it is of the kind that is tried again.
    """

    def __init__(self, message: str, *, retried: bool) -> None:
        self.retried = retried
        super().__init__(message)


class UnexpectedAnswer(ClientError):
    """What answers at the URL is no gate, or not one that is asked like this.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


_KINDS: dict[str, type[AnswerableError]] = {
    kind.code: kind
    for kind in map(tree.__dict__.get, tree.__all__)
    if isinstance(kind, type) and issubclass(kind, AnswerableError)
}

# What may stand in front of a gate answers so too, in words of its own.
_BY_STATUS: dict[int, type[AnswerableError]] = {
    401: tree.Unauthorized,
    403: tree.Forbidden,
    413: tree.BodyTooLarge,
    429: tree.RateLimitExceeded,
    503: tree.Overloaded,
}

_ADVICE: dict[type[AnswerableError], str] = {
    tree.Unauthorized: "See that the key is whole, and the one for this server.",
    tree.InsufficientScope: "Ask who gave you the key for one that opens this deployment.",
    tree.KeyInactive: "Ask who gave you the key for a new one.",
    tree.NotFound: "See that the URL is that of the mount point and the name of a deployment,"
    " https://host/ml/churn, and that the gate speaks the dialect datarobot.",
    tree.PredictionError: "What happened is in the log of the server.",
    ServingError: "What happened is in the log of the server.",
}


def error_of(
    status: int, headers: Mapping[str, str], content: bytes, url: str, *, keyed: bool
) -> ModelgateError:
    """The error that an answer other than 200 means.

    Args:
        status: of the answer.
        headers: of the answer, by lower case names.
        content: of the answer.
        url: that was asked.
        keyed: whether a key was sent.
    """
    if 300 <= status < 400:
        return UnexpectedAnswer(status, _elsewhere(status, url, headers.get("location", "")))
    told = _members(content)
    message = told.get("detail") or told.get("message") or told.get("error")
    kind = _KINDS.get(str(told.get("code"))) or _BY_STATUS.get(status)
    if kind is None and status >= 400 and isinstance(message, str) and "x-request-id" in headers:
        kind = tree.NotFound if status == 404 else RequestError if status < 500 else ServingError
    if kind is None:
        return UnexpectedAnswer(status, _no_gate(status, url, headers.get("content-type")))
    if kind is tree.MissingColumns and not told.get("missing_columns"):
        kind = tree.InvalidInput  # a gate that hides its schema does not say which
    words = message if isinstance(message, str) else f"{urlsplit(url).netloc} answered {status}"
    advice = _ADVICE.get(kind, "")
    if kind is tree.Unauthorized and not keyed:
        advice = "No key was sent: give key=…, or --key-env VARIABLE on the command line."
    return _made(kind, f"{words.rstrip('.')}. {advice}".strip() if advice else words, told, headers)


def _made(
    kind: type[AnswerableError], message: str, told: Mapping[str, Any], headers: Mapping[str, str]
) -> AnswerableError:
    """The error as the gate raised it: with the attributes of its class, whatever its constructor takes."""
    error = kind.__new__(kind)
    details = {name: told[name] for name in told if name not in _WORDS}
    AnswerableError.__init__(error, message, details=details, headers=headers)
    attributes = {name: details.get(name, empty) for name, empty in _ATTRIBUTES.get(kind, {}).items()}
    if kind is tree.RateLimitExceeded or issubclass(kind, ServingError):
        pause = retry_after(headers, time.time())
        attributes["retry_after"] = None if pause is None else math.ceil(pause)
    vars(error).update(attributes)
    error.request_id = headers.get("x-request-id")
    if error.request_id is not None:
        error.add_note(f"request id {error.request_id}")
    return error


def is_passing(error: ModelgateError) -> bool:
    """Whether the same request may be answered otherwise later."""
    return getattr(error, "status", None) in RETRIED or getattr(error, "retried", False)


_WORDS = ("status", "code", "detail", "message", "error")

_ATTRIBUTES: dict[type[AnswerableError], dict[str, Any]] = {
    tree.MissingColumns: {"missing_columns": [], "errors": {}},
    tree.InvalidValues: {"errors": {}},
    tree.UnknownColumns: {"columns": []},
    tree.BodyTooLarge: {"limit": None},
    tree.BatchTooLarge: {"limit": None},
    tree.KeyInactive: {"key_id": None, "state": None},
    tree.DeploymentLoading: {"seconds": None},
}


def _members(content: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def _elsewhere(status: int, url: str, location: str) -> str:
    asked, given = urlsplit(url), urlsplit(location)
    if given.netloc in ("", asked.netloc) and given.scheme in ("", asked.scheme):
        where = f"the path {given.path}"
    else:
        where = f"{given.scheme or asked.scheme}://{given.netloc}{given.path}"
    return (
        f"{asked.netloc} answered {status} and sends the caller on to {where}. The key is not sent there:"
        " if that is right, give the URL as it is there"
    )


def _no_gate(status: int, url: str, kind: str | None) -> str:
    what = (kind or "nothing that says what it is").partition(";")[0]
    return (
        f"{url} answered {status} with {what}, and that is no answer of a gate. The URL to give is that of the"
        " mount point and the name of a deployment, https://host/ml/churn"
    )


_ROWS = re.compile(r" \(row (\d+(?:, \d+)*)(?: and (\d+) more)?\)")


LINE = re.compile(r"^Line (\d+) of the CSV body ")


def shifted(error: AnswerableError, at: int, batch: Rows) -> None:
    """Have *error* count the rows as its caller does.

    Args:
        error: what a gate told of a batch.
        at: where the batch begins.
        batch: its rows. Of a row alone, a gate tells no number.
    """

    def moved(told: re.Match[str]) -> str:
        numbers = ", ".join(str(int(number) + at) for number in told[1].split(", "))
        return f" (row {numbers}{f' and {told[2]} more' if told[2] else ''})"

    def told(text: str) -> str:
        return f"{text} (row {at})" if len(batch) == 1 else _ROWS.sub(moved, text)

    by_column = getattr(error, "errors", {})
    by_column.update({column: told(rule) for column, rule in by_column.items()})
    line = LINE.match(error.message)
    row = batch.row_at(int(line[1])) if line is not None else None
    if line is not None and row is not None:
        error.message = f"Row {at + row} of the CSV {error.message[line.end() :]}"
    else:
        error.message = told(error.message)
    error.args = (error.message,)


def rows_at_fault(errors: Mapping[str, str]) -> tuple[dict[int, list[str]], bool]:
    """For each row that *errors* by column name, what is wrong with it; and whether these are all there are."""
    found: dict[int, list[str]] = {}
    complete = bool(errors)
    for column, told in errors.items():
        start = 0
        for match in _ROWS.finditer(told):
            rule = f"{column} {told[start : match.start()].removeprefix('; ')}"
            for number in match[1].split(", "):
                found.setdefault(int(number), []).append(rule)
            complete = complete and match[2] is None
            start = match.end()
        complete = complete and start == len(told)
    return found, complete
