"""Show the progress of a long command, as phases or as a completed fraction.

A fraction is shown as a bar on a terminal, otherwise as one line per tenth of the work. If the fraction is
unknown, a line is printed every ten seconds.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TypeAlias

import click

__all__ = ["ReportPhase", "ReportProgress", "format_progress", "show_phases", "show_progress"]

ReportProgress: TypeAlias = Callable[[float | None, str], None]
"""Called with the completed fraction, from 0 to 1, and a text. The fraction is None if it is not known."""


ReportPhase: TypeAlias = Callable[[str], None]
"""Called with the name of the phase that begins."""

_PAUSE = 10.0
"""Seconds between two lines if the completed fraction is not known."""

_QUICK = 1.0
"""Seconds after which a command must show its progress."""


@contextmanager
def show_phases() -> Iterator[ReportPhase]:
    """Show the phases of a command on standard error if it takes more than a second."""
    phases = _Phases()
    timer = Timer(_QUICK, phases.show)
    timer.daemon = True
    timer.start()
    try:
        yield phases.begin
    finally:
        timer.cancel()


class _Phases:
    def __init__(self) -> None:
        self._lock = Lock()
        self._phase: str | None = None
        self._is_shown = False

    def begin(self, phase: str) -> None:
        with self._lock:
            self._phase = phase
            if self._is_shown:
                click.echo(f"{phase} …", err=True)

    def show(self) -> None:
        with self._lock:
            self._is_shown = True
            if self._phase is not None:
                click.echo(f"{self._phase} …", err=True)


def format_progress(
    fraction: float | None, rows: int, resumed: int, since: float, initial_fraction: float, now: float
) -> str:
    """Return a text such as ``71 %  1,420,000 rows  38,120 rows/s  0:00:15 left``.

    Args:
        fraction: Completed fraction of the input, from 0 to 1; None if it is unknown.
        rows: Number of processed rows.
        resumed: Number of rows processed before this run.
        since: Time at which this run started, in seconds.
        initial_fraction: Fraction that was complete at the start of this run.
        now: Current time, on the same clock as *since*.
    """
    seconds = max(now - since, 1e-9)
    rate = (rows - resumed) / seconds
    if fraction is None:
        return f"{rows:,} rows  {rate:,.0f} rows/s"
    clock = "-"
    if fraction > initial_fraction:
        remaining = round(seconds * (1 - fraction) / (fraction - initial_fraction))
        clock = f"{remaining // 3600}:{remaining // 60 % 60:02}:{remaining % 60:02}"
    return f"{fraction:4.0%}  {rows:,} rows  {rate:,.0f} rows/s  {clock} left".replace("%", " %")


@contextmanager
def show_progress(name: str) -> Iterator[ReportProgress]:
    """Show progress on standard error, labelled *name*. Yield the function that reports it."""
    if not sys.stderr.isatty():
        yield _ProgressLines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}")
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None, text="")
        yield lambda fraction, text: bar.update(
            task, total=None if fraction is None else 1.0, completed=fraction or 0, text=text
        )


class _ProgressLines:
    def __init__(self, name: str) -> None:
        self._name = name
        self._tenths = 0
        self._reported_at = time.monotonic()

    def __call__(self, fraction: float | None, text: str) -> None:
        tenths = 0 if fraction is None else int(fraction * 10)
        now = time.monotonic()
        if tenths < self._tenths:  # An upload begins.
            self._tenths = 0
        if tenths > self._tenths or (fraction is None and now - self._reported_at >= _PAUSE):
            self._tenths, self._reported_at = tenths, now
            click.echo(f"{self._name}  {text}", err=True)
