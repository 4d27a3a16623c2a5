"""Tables and JSON, as people and programs read them."""

import sys
from collections.abc import Collection, Iterable, Sequence

import click
import msgspec

__all__ = ["is_terminal", "print_json", "print_table"]


def print_json(value: object) -> None:
    """Print *value* as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Collection[str] = ()
) -> None:
    """A table where there is a terminal; otherwise a line a row, its parts separated by tabs.

    Args:
        columns: their heads.
        rows: a text for each column.
        whole: the columns that are never broken into lines.
    """
    if not is_terminal():
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in whole)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()
