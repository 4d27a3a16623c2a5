"""Print tables and JSON."""

import sys
from collections.abc import Collection, Iterable, Sequence

import click

__all__ = ["escape", "is_terminal", "print_json", "print_table"]


def escape(text: str) -> str:
    """Escape every character of *text* that could move the cursor, forge a line or hide characters.

    Apply it to all text that comes from a file, a database or a server.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def print_json(value: object, *, err: bool = False) -> None:
    """Print *value* as JSON on standard output, or on standard error if *err* is True."""
    import json

    import msgspec

    lines = msgspec.json.format(msgspec.json.encode(value), indent=2).decode().split("\n")
    # JSON strings may hold unescaped control characters above ASCII.
    escaped = (
        "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in line)
        for line in lines
    )
    click.echo("\n".join(escaped), err=err)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, no_wrap: Collection[str] = ()
) -> None:
    """Print a table on a terminal, or tab-separated lines elsewhere. Cells are escaped.

    Args:
        columns: Column headings.
        rows: Rows, each with one text per column.
        no_wrap: Columns whose cells are never broken into several lines.
    """
    if not is_terminal():
        for row in (columns, *rows):
            click.echo("\t".join(map(escape, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in no_wrap)
    for row in rows:
        table.add_row(*(Text(escape(cell)) for cell in row))
    Console().print(table)


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()
