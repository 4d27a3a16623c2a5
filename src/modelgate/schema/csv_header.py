"""Check CSV header lines. The errors describe what to send instead."""

from collections import Counter
from collections.abc import Sequence

from ..errors import MalformedBody
from ..spelling import SHOWN_TEXT
from .coerce import parse_text
from .columns import Column
from .report import COMPARED
from .schema_options import SchemaOptions

__all__ = ["check_header"]

_SEPARATORS = ((";", "semicolon"), ("\t", "tab"))
_NUMBER = Column("number")


def check_header(header: Sequence[str], columns: Sequence[Column], options: SchemaOptions) -> None:
    """Check that *header* can be a header line of CSV. Missing and unknown columns are accepted.

    Raises:
        MalformedBody: The header is empty, names a column twice, is not separated by commas, or is a line of
            data.
    """
    if not header:
        raise MalformedBody("The CSV body has no header line: send the column names first")
    names = {column.name for column in columns}
    if names.isdisjoint(header):
        separator = next((name for mark, name in _SEPARATORS if len(header) == 1 and mark in header[0]), None)
        if separator is not None:
            raise MalformedBody(f"The separator of the CSV body is a {separator}: send a comma between cells")
        if _looks_like_data(header, columns):
            raise MalformedBody(
                "Line 1 of the CSV body was read as the header, but looks like data: send a line with the"
                f" column names first{_describe_names(columns) if options.show_schema else ''}"
            )
    if len(set(header)) != len(header):
        duplicate = next(name for name, count in Counter(header).items() if count > 1)
        raise MalformedBody(
            f"Line 1 of the CSV body names the column {duplicate[:SHOWN_TEXT]!r} twice: remove or rename one"
        )


def _looks_like_data(header: Sequence[str], columns: Sequence[Column]) -> bool:
    """Return whether a cell is a number, or a level of the column in its position."""
    if list(header) == [str(index) for index in range(len(header))]:
        return False  # pandas numbers the columns of a DataFrame without names.
    if any(parse_text(_NUMBER, cell) != cell for cell in header):
        return True
    pairs = [
        (cell, column) for cell, column in zip(header, columns, strict=False) if column.levels is not None
    ]
    return any(column.has_level(parse_text(column, cell)) for cell, column in pairs)


def _describe_names(columns: Sequence[Column]) -> str:
    names = ",".join(column.name[:SHOWN_TEXT] for column in columns[:COMPARED])
    return f", {names}" + (",…" if len(columns) > COMPARED else "")
