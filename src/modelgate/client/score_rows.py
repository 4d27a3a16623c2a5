"""Score CSV rows, and reject invalid rows without affecting the others."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from ..errors import (
    AnswerableError,
    BodyTooLarge,
    HumilityError,
    InvalidInput,
    InvalidValues,
    MalformedBody,
    MissingColumns,
    PredictionError,
    RequestError,
)
from ..flow import Flow, run
from .errors import LINE, UnexpectedResponse, parse_invalid_rows
from .rows import Lines, Rows, csv_rows, records
from .session import HTTPResponse, is_too_large

__all__ = ["RejectedRow", "RowSession", "ScoredRows", "check_header", "score_rows"]


_NOT_FINITE = "its prediction is not a finite number"


class RejectedRow(str):
    """Result of a row that was not scored. The text is the reason."""

    __slots__ = ()


Result: TypeAlias = bytes | RejectedRow


class ScoredRows(NamedTuple):
    """Results of scoring CSV rows.

    Args:
        header: Header line of the predictions; None if no row was scored.
        results: Result for each row: the line with its predictions, or a `RejectedRow`.
        versions: Versions of the models that scored the rows, if known.
    """

    header: bytes | None
    results: Sequence[Result]
    versions: frozenset[str] = frozenset()


class RowSession(Protocol):
    """Protocol of sessions that score CSV, such as `Session`, which sends it to a server."""

    def post(self, body: bytes, media_type: str, accept: str) -> Flow[HTTPResponse]:
        """Return the response to *body*, or raise the error of an unsuccessful response."""


def score_rows(session: RowSession, rows: Rows, *, is_first: bool = False) -> Flow[ScoredRows]:
    """Score CSV rows, and reject invalid rows.

    Args:
        session: Session that scores the rows.
        rows: CSV rows with their header.
        is_first: Whether the gate has not yet accepted rows with this header. If True, and the gate rejects
            *rows* without naming an invalid row, the header is checked alone, because the header may be the
            cause.

    Raises:
        ModelgateError: The request failed for a reason other than invalid rows, such as a missing column, the
            key, a limit or the server.
    """
    if not len(rows):
        return ScoredRows(None, [])
    try:
        response = yield from session.post(rows.body(), rows.media_type, "text/csv")
    except (RequestError, PredictionError) as error:
        if not _may_be_row_error(error, rows):
            raise
        rejected = {} if is_too_large(error) else _rejected_rows(error, rows)
        if is_first and not rejected and not is_too_large(error):
            yield from check_header(session, rows.header)
        if len(rows) == 1:
            return ScoredRows(None, [RejectedRow(_reason(error))])
        if rejected:
            return (yield from _score_others(session, rows, rejected))
        return (yield from _score_halves(session, rows))
    header, lines = yield from run(_split_lines, response.content, len(rows))
    version = response.headers.get("x-model-version")
    return ScoredRows(header, lines, frozenset() if version is None else frozenset({version}))


def check_header(session: RowSession, header: bytes) -> Flow[None]:
    """Check a header line by sending it without rows.

    Raises:
        ModelgateError: The gate rejects the header, or the request fails.
    """
    yield from session.post(header, "text/csv", "text/csv")


def _may_be_row_error(error: AnswerableError, rows: Rows) -> bool:
    """Return True if *error* may be caused by individual rows."""
    if isinstance(error, PredictionError):
        return _NOT_FINITE in error.message
    if isinstance(error, MissingColumns) or error.details.get("unexpected_columns"):
        return False  # Columns are defined by the header, for all rows.
    if isinstance(error, MalformedBody):
        return bool(_rejected_rows(error, rows))
    return isinstance(error, InvalidInput | BodyTooLarge | HumilityError) or is_too_large(error)


def _rejected_rows(error: AnswerableError, rows: Rows) -> dict[int, str]:
    """Return the reasons for which *error* rejects rows, by row index."""
    line = LINE.match(error.message)
    if line is not None:
        row = rows.row_at(int(line[1]))
        return {} if row is None else {row: _reason(error)}
    if isinstance(error, HumilityError):
        return dict.fromkeys(error.rows, _reason(error))
    if isinstance(error, PredictionError):
        return dict.fromkeys(parse_invalid_rows({"": error.message})[0], _reason(error))
    rules = parse_invalid_rows(error.errors)[0] if isinstance(error, InvalidValues) else {}
    return {row: "; ".join(reasons) for row, reasons in rules.items() if row < len(rows)}


def _reason(error: AnswerableError) -> str:
    if isinstance(error, PredictionError):
        return f"The model failed: {_NOT_FINITE}"
    if isinstance(error, InvalidValues) and error.errors:
        return "; ".join(f"{column} {rule}" for column, rule in error.errors.items())
    return LINE.sub("", error.message)


def _score_others(session: RowSession, rows: Rows, rejected: dict[int, str]) -> Flow[ScoredRows]:
    """Score all rows except the *rejected* ones, and merge the results in the order of the rows."""
    others = [record for index, record in enumerate(rows.data) if index not in rejected]
    scored = yield from score_rows(session, csv_rows(rows.header, others))
    scored_results = iter(scored.results)
    results = [
        RejectedRow(rejected[index]) if index in rejected else next(scored_results)
        for index in range(len(rows))
    ]
    return scored._replace(results=results)


def _score_halves(session: RowSession, rows: Rows) -> Flow[ScoredRows]:
    middle = len(rows) // 2
    first = yield from score_rows(session, rows.part(0, middle))
    second = yield from score_rows(session, rows.part(middle, len(rows)))
    return ScoredRows(
        first.header or second.header, [*first.results, *second.results], first.versions | second.versions
    )


def _split_lines(content: bytes, rows: int) -> tuple[bytes, Sequence[Result]]:
    """Split a CSV response into its header and a line per row."""
    if b'"' not in content and b"\r" not in content and content.count(b"\n") == rows + 1:
        header, end, raw = content.partition(b"\n")
        return header + end, Lines(raw, rows)
    lines: Sequence[bytes] = content.splitlines(keepends=True)
    if b'"' in content:
        lines = [record for _, record in records(lines)]
    if len(lines) != rows + 1:
        raise UnexpectedResponse(200, f"The response to {rows} rows has {len(lines) - 1} predictions")
    return lines[0], list(lines[1:])
