"""Job of ``modelgate score``: score one file, and report progress and results."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from ..bulk.engine import Engine, HTTPEngine
from ..bulk.input import Chunk, Input
from ..bulk.location import hide_password
from ..bulk.output import Passthrough
from ..bulk.run import score_chunks
from ..bulk.run_output import RunOutput
from ..client.clients import httpx_package
from ..client.errors import ConnectionFailed, UnexpectedResponse
from ..client.retry import Retry
from ..client.session import Session, warn_of_plain_http
from ..errors import Forbidden, ModelgateError, RateLimitExceeded, ServingError, Unauthorized
from .format_error import format_error
from .output_tables import escape, print_json
from .pipes import PIPE, StandardOutput, open_input
from .progress import ReportProgress, format_progress

__all__ = ["Job", "exit_code"]

_ATTEMPTS, _DEADLINE, _TIMEOUT = 20, 3600.0, 300.0
"""Attempts, deadline and timeout in seconds for one chunk. They are generous, because a run is unattended."""

_MAX_UNREACHED = 5
"""Maximum number of attempts while no gate has responded, because the address is probably wrong."""

_REPORTED_WAIT = 3.0
"""Minimum seconds of a wait to report. While a reported wait lasts, no other wait is reported."""


class Job:
    """Job that scores one file.

    Args:
        path: Input file or URL; `PIPE` for standard input.
        results: Results of the run.
        query: Database query of the rows, if *path* is the URL of a database.
    """

    def __init__(self, path: Path | str, results: RunOutput | StandardOutput, query: str | None) -> None:
        self.name = "standard input" if path == PIPE else hide_password(path)
        self._results, self._done = results, results.done
        self._to_stdout = isinstance(results, StandardOutput)
        self._path, self._query = path, query
        self._waits, self._reported_until = 0, 0.0
        self._is_reached = False
        self._resumed = self._done.rows
        self._since = time.monotonic()

    async def run_with_server(
        self,
        report_progress: ReportProgress,
        open_session: Callable[[Any], Session],
        in_flight: int,
    ) -> None:
        """Score the remaining rows by sending them to a server.

        Args:
            report_progress: Function that reports progress.
            open_session: Function that takes an httpx client and opens a session; see `open_session`.
            in_flight: Maximum number of concurrent requests.
        """
        httpx = httpx_package()
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=in_flight)) as http:
            await self.run(report_progress, HTTPEngine(open_session(http), in_flight))

    def open_session(
        self, url: str, query: str, key: str | None, key_header: str
    ) -> Callable[[Any], Session]:
        """Return a function that takes an httpx client and opens a session for a deployment.

        Args:
            url: URL of the deployment.
            query: Query string of the requests.
            key: API key; None for a gate that requires no key.
            key_header: Header field of the key; see `Session`.
        """
        if key is not None:
            warn_of_plain_http(url)
        return partial(
            Session,
            url,
            key,
            Retry(_ATTEMPTS, _DEADLINE, _TIMEOUT),
            batch_rows=self._done.chunk,
            batch_bytes=1 << 30,
            on_wait=self._on_wait,
            key_header=key_header,
            query=query,
        )

    async def run(self, report_progress: ReportProgress, engine: Engine) -> None:
        """Score the remaining rows with *engine*, and write the predictions."""
        with open_input(self._path, self._query) as content:
            source = Input(content, self.name)
            passthrough = Passthrough(source.header, self._done.keep)

            def on_chunk(chunk: Chunk) -> None:
                self._is_reached = True
                self._report(chunk.fraction, source.initial_fraction, report_progress)

            def on_upload(fraction: float) -> None:
                report_progress(
                    fraction, f"{fraction * 100:3.0f} % of the results written to {self._results.name}"
                )

            with self._results.open(passthrough) as output:
                await score_chunks(source, engine, output, self._done.chunk, on_chunk, on_upload)

    def _on_wait(self, seconds: float, error: ModelgateError) -> None:
        self._waits += 1
        self._is_reached = self._is_reached or not isinstance(error, ConnectionFailed | UnexpectedResponse)
        if not self._is_reached and self._waits >= _MAX_UNREACHED:
            error.add_note(f"gave up after {self._waits} attempts without a response of a gate")
            raise error
        now = time.monotonic()
        if seconds >= _REPORTED_WAIT and now >= self._reported_until:
            self._reported_until = now + seconds
            click.echo(
                f"{Path(self.name).name}  waiting {seconds:.0f} s for the server: {escape(str(error))}",
                err=True,
            )

    def _report(
        self, fraction: float | None, initial_fraction: float, report_progress: ReportProgress
    ) -> None:
        now = time.monotonic()
        text = format_progress(fraction, self._done.rows, self._resumed, self._since, initial_fraction, now)
        report_progress(fraction, text)

    def stop(self, error: BaseException, overwrite: bool) -> NoReturn:
        """Print *error* and how to resume the run, and exit with the exit code for *error*."""
        lines = ["Stopped"] if isinstance(error, KeyboardInterrupt) else [f"Error: {format_error(error)}"]
        lines += getattr(error, "__notes__", ())
        if self._done.offset and self._to_stdout:
            lines.append("A run that writes to standard output cannot be resumed: pass -o FILE")
        elif self._done.offset:
            without = " without --overwrite" if overwrite else ""
            lines.append(f"{self._done.rows:,} rows are done: run the same command{without} to continue")
        click.echo("\n".join(map(escape, lines)), err=True)
        raise click.exceptions.Exit(exit_code(error))

    def report(self, as_json: bool) -> None:
        """Print the summary, and exit with code 0, or 1 if rows were rejected."""
        seconds = time.monotonic() - self._since
        summary = {
            "output": str(self._results.name),
            "rows": self._done.rows,
            "scored": self._done.scored,
            "refused": self._done.refused,
            "errors": str(self._results.errors_name) if self._done.refused else None,
            "versions": self._done.versions,
            "resumed_at": self._resumed,
            "waits": self._waits,
            "seconds": round(seconds, 3),
            "rows_per_second": round((self._done.rows - self._resumed) / seconds),
        }
        if as_json:
            print_json(summary, err=self._to_stdout)
        else:
            click.echo(escape(_format_summary(summary)), err=self._to_stdout)
        raise click.exceptions.Exit(1 if self._done.refused else 0)


def _format_summary(summary: dict[str, Any]) -> str:
    parts = [f"{summary['output']}: {summary['rows']:,} rows", f"{summary['rows_per_second']:,} rows/s"]
    if len(summary["versions"]) > 1:
        parts.append(f"scored by model versions {', '.join(summary['versions'])}")
    if summary["waits"]:
        parts.append(f"{summary['waits']:,} waits for the server")
    if summary["refused"]:
        parts.append(f"{summary['refused']:,} rejected: {summary['errors']}")
    return " · ".join(parts)


def exit_code(error: BaseException) -> int:
    """Return the exit code for *error*."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, Unauthorized | Forbidden | RateLimitExceeded):
        return 3
    status = getattr(error, "status", None)
    failed = isinstance(error, ServingError) or getattr(error, "retried", None) is not None
    return 4 if failed or (status is not None and status >= 500) else 2
