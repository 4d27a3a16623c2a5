"""Tables and JSON, as people and programs read them."""

import json
import sys
from collections.abc import Collection, Iterable, Sequence

import click
import msgspec

__all__ = ["is_terminal", "plain", "print_json", "print_table"]


def plain(text: str) -> str:
    """Return *text* with everything escaped that could move the cursor, forge a line or hide characters.

    For whatever comes from a file, a database or a server.
    """
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)


def print_json(value: object) -> None:
    """Print *value* as JSON."""
    lines = msgspec.json.format(msgspec.json.encode(value), indent=2).decode().split("\n")
    # JSON itself allows the control characters above ASCII, and in texts alone.
    click.echo(
        "\n".join("".join(it if it.isprintable() else json.dumps(it)[1:-1] for it in line) for line in lines)
    )


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Collection[str] = ()
) -> None:
    """A table where there is a terminal; otherwise a line a row, its parts separated by tabs. See `plain`.

    Args:
        columns: their heads.
        rows: a text for each column.
        whole: the columns that are never broken into lines.
    """
    if not is_terminal():
        for row in (columns, *rows):
            click.echo("\t".join(map(plain, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in whole)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)


def is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()
