"""How far a long command is: a bar in a terminal, and a line for every tenth elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import click

__all__ = ["Show", "progress", "told"]

Show: TypeAlias = Callable[[float, str], None]
"""Called with the part done, from 0 to 1, and a text."""


def told(part: float, rows: int, resumed: int, since: float, begun: float, now: float) -> str:
    """``71 %  1,420,000 rows  38,120 rows/s  0:00:15 left``.

    Args:
        part: done, from 0 to 1.
        rows: done.
        resumed: how many of them were done before this run.
        since: when this run began.
        begun: the part that was done then.
        now: the time, as *since* in seconds.
    """
    seconds = max(now - since, 1e-9)
    left = round(seconds * (1 - part) / (part - begun)) if part > begun else None
    clock = "-" if left is None else f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
    return f"{part:4.0%}  {rows:,} rows  {(rows - resumed) / seconds:,.0f} rows/s  {clock} left".replace(
        "%", " %"
    )


@contextmanager
def progress(name: str) -> Iterator[Show]:
    """What shows the progress of *name* on standard error, in a terminal with a bar."""
    if not sys.stderr.isatty():
        yield _Lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}")
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=1.0, told="")
        yield lambda part, text: bar.update(task, completed=part, told=text)


class _Lines:
    def __init__(self, name: str) -> None:
        self._name = name
        self._tenths = 0

    def __call__(self, part: float, text: str) -> None:
        tenths = int(part * 10)
        if tenths > self._tenths:
            self._tenths = tenths
            click.echo(f"{self._name}  {text}", err=True)
