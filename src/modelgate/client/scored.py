"""Rows scored one by one as far as they can be: what is wrong with one does not keep the others back."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ..errors import (
    BodyTooLarge,
    InvalidInput,
    InvalidValues,
    MalformedBody,
    MissingColumns,
    RequestError,
)
from ..flow import Flow, run
from .errors import LINE, UnexpectedAnswer, rows_at_fault
from .rows import Rows, csv_rows, records
from .session import Session, is_too_large

__all__ = ["Refused", "Scored", "scored"]


class Refused(str):
    """Why a row was not scored."""

    __slots__ = ()


Result: TypeAlias = bytes | Refused


class Scored(NamedTuple):
    """What became of some rows of CSV.

    Args:
        header: the line of column names of the answers; None where no row was scored.
        results: for each row its line of the answer, or why there is none.
        versions: of the models that scored them, as far as they are told.
    """

    header: bytes | None
    results: list[Result]
    versions: frozenset[str] = frozenset()


def scored(session: Session, rows: Rows) -> Flow[Scored]:
    """Score *rows* of CSV: those that are refused are told, and the others are scored.

    Raises:
        ModelgateError: what is not the fault of single rows: a column that lacks in all of them, a key,
            a limit, the server.
    """
    if not len(rows):
        return Scored(None, [])
    try:
        response = yield from session.ask(rows.body(), rows.media_type, "text/csv")
    except RequestError as error:
        if not _is_of_rows(error):
            raise
        if len(rows) == 1:
            return Scored(None, [Refused(_reason(error))])
        found = {} if is_too_large(error) else _found(error, rows)
        return (yield from (_without(session, rows, found) if found else _halves(session, rows)))
    header, lines = yield from run(_parted, response.content, len(rows))
    told = response.headers.get("x-model-version")
    return Scored(header, lines, frozenset() if told is None else frozenset({told}))


def _is_of_rows(error: RequestError) -> bool:
    """Whether *error* may be that of some rows, and not of all."""
    if isinstance(error, MissingColumns) or error.details.get("unexpected_columns"):
        return False  # A column stands in the header, and so for every row.
    return isinstance(error, InvalidInput | MalformedBody | BodyTooLarge) or is_too_large(error)


def _found(error: RequestError, rows: Rows) -> dict[int, str]:
    """The rows that *error* says are at fault, and why."""
    line = LINE.match(error.message)
    if line is not None:
        row = rows.row_at(int(line[1]))
        return {} if row is None else {row: _reason(error)}
    told = rows_at_fault(error.errors)[0] if isinstance(error, InvalidValues) else {}
    return {row: "; ".join(reasons) for row, reasons in told.items() if row < len(rows)}


def _reason(error: RequestError) -> str:
    if isinstance(error, InvalidValues) and error.errors:
        return "; ".join(f"{column} {rule}" for column, rule in error.errors.items())
    return LINE.sub("", error.message)


def _without(session: Session, rows: Rows, found: dict[int, str]) -> Flow[Scored]:
    """The rows but those *found* to be at fault, these in their places."""
    rest = [record for at, record in enumerate(rows.data) if at not in found]
    told = yield from scored(session, csv_rows(rows.header, rest))
    others = iter(told.results)
    results = [Refused(found[at]) if at in found else next(others) for at in range(len(rows))]
    return told._replace(results=results)


def _halves(session: Session, rows: Rows) -> Flow[Scored]:
    middle = len(rows) // 2
    first = yield from scored(session, rows.part(0, middle))
    second = yield from scored(session, rows.part(middle, len(rows)))
    return Scored(
        first.header or second.header, [*first.results, *second.results], first.versions | second.versions
    )


def _parted(content: bytes, rows: int) -> tuple[bytes, list[Result]]:
    """The header and the lines of an answer in CSV."""
    lines: Sequence[bytes] = content.splitlines(keepends=True)
    if b'"' in content:
        lines = [record for _, record in records(lines)]
    if len(lines) != rows + 1:
        raise UnexpectedAnswer(200, f"{rows} rows were answered with {len(lines) - 1} predictions")
    return lines[0], list(lines[1:])
