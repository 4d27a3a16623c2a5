"""One run of ``modelgate score`` over a file."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, NoReturn

import click

from ..client.clients import httpx_package
from ..client.errors import ConnectionFailed, UnexpectedResponse
from ..client.retry import Retry
from ..client.score_rows import check_header, score_rows
from ..client.session import Session, warn_of_plain_http
from ..errors import (
    ConfigurationError,
    Forbidden,
    ModelgateError,
    RateLimitExceeded,
    ServingError,
    Unauthorized,
)
from ..flow import adrive
from .checkpoint import Checkpoint
from .csv_file import open_csv
from .output_tables import escape, print_json
from .pipes import PIPE, PipeOutput, open_input
from .progress import ReportProgress, format_progress
from .score_input import Chunk, Input
from .score_output import FileOutput, Output, Passthrough, errors_path

__all__ = ["Job", "exit_code"]

_ATTEMPTS, _DEADLINE, _TIMEOUT = 20, 3600.0, 300.0
"""Attempts, deadline and timeout in seconds for one chunk. They are generous, because a run is unattended."""

_MAX_UNREACHED = 5
"""Maximum number of attempts if no gate has ever responded: the address is probably wrong."""

_REPORTED_WAIT = 3.0
"""Shortest wait in seconds that is reported. Until its end, no other wait is reported."""


class Job:
    """One run over a file.

    Args:
        path: Input file; `PIPE` for standard input.
        output: Path of the predictions; `PIPE` for standard output.
        done: Checkpoint to continue from; updated as rows are scored.
        key: API key; None for a gate that requires no key.
        chunk: Maximum number of rows per request.
        in_flight: Maximum number of concurrent requests.
        key_header: Header field of the key, see `Session`.
    """

    def __init__(
        self,
        path: Path,
        output: Path,
        done: Checkpoint,
        key: str | None,
        *,
        chunk: int,
        in_flight: int,
        key_header: str,
    ) -> None:
        self.name = "standard input" if path == PIPE else str(path)
        self._to_stdout = output == PIPE
        self._path = path
        self._output = output
        self._done = done
        self._key = key
        self._key_header = key_header
        self._chunk = chunk
        self._in_flight = in_flight
        self._waits, self._reported_until = 0, 0.0
        self._is_reached = False
        self._resumed = done.rows
        self._since = time.monotonic()

    async def run(self, file: BinaryIO, report_progress: ReportProgress) -> None:
        """Score the remaining rows and append the predictions to *file*."""
        if self._key is not None:
            warn_of_plain_http(self._done.url)
        size = None if self._path == PIPE else self._path.stat().st_size
        httpx = httpx_package()
        limits = httpx.Limits(max_connections=self._in_flight)
        with open_input(self._path) as opened, open_csv(opened, self.name) as content:
            source = Input(content, self.name, size)
            passthrough = Passthrough(source.header, self._done.keep)
            async with httpx.AsyncClient(limits=limits) as http:
                with self._open_output(file, passthrough) as output:
                    await self._score(source, self._session(http), output, report_progress)

    def _open_output(self, file: BinaryIO, passthrough: Passthrough) -> Output:
        if self._to_stdout:
            return PipeOutput(file, self._done, passthrough)
        return FileOutput(file, self._output, self._done, passthrough)

    def _session(self, http: Any) -> Session:
        retry = Retry(_ATTEMPTS, _DEADLINE, _TIMEOUT)
        return Session(
            self._done.url,
            self._key,
            retry,
            http,
            batch_rows=self._chunk,
            batch_bytes=1 << 30,
            on_wait=self._on_wait,
            key_header=self._key_header,
        )

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

    async def _score(
        self, source: Input, session: Session, output: Output, report_progress: ReportProgress
    ) -> None:
        chunks = source.chunks(self._chunk, self._done)
        # Send the first chunk alone, so that an error that affects all chunks is reported once.
        in_flight, max_in_flight = deque[Any](), 1
        reading: asyncio.Future[Chunk | None] | None = _read_chunk(chunks)
        try:
            while reading is not None or in_flight:
                waited_for = [task for _, task in islice(in_flight, 1)]
                if reading is not None and len(in_flight) < max_in_flight:
                    waited_for.append(reading)
                await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
                if reading is not None and reading in waited_for and reading.done():
                    chunk = reading.result()
                    if chunk is not None:
                        flow = score_rows(session, chunk.rows, is_first=not self._done.rows)
                        in_flight.append((chunk, asyncio.ensure_future(adrive(flow))))
                    elif not self._done.rows and not in_flight:
                        # Report an invalid header rather than the missing rows.
                        await adrive(check_header(session, source.header))
                        raise ConfigurationError(
                            f"{self.name} has a header line but no rows: nothing was scored"
                        )
                    reading = None if chunk is None else _read_chunk(chunks)
                if in_flight and in_flight[0][1].done():
                    first, task = in_flight[0]
                    output.add(first, task.result())
                    in_flight.popleft()
                    max_in_flight, self._is_reached = self._in_flight, True
                    self._report(first.fraction, source.initial_fraction, report_progress)
        finally:
            for _, task in in_flight:
                task.cancel()
            await asyncio.gather(*(task for _, task in in_flight), return_exceptions=True)
        output.finish()

    def _report(
        self, fraction: float | None, initial_fraction: float, report_progress: ReportProgress
    ) -> None:
        now = time.monotonic()
        text = format_progress(fraction, self._done.rows, self._resumed, self._since, initial_fraction, now)
        report_progress(fraction, text)

    def stop(self, error: BaseException, overwrite: bool) -> NoReturn:
        """Report *error* and how to resume, and exit with the code of the error."""
        lines = ["Stopped"] if isinstance(error, KeyboardInterrupt) else [f"Error: {error}"]
        lines += getattr(error, "__notes__", ())
        if self._done.offset and self._to_stdout:
            lines.append("A run that writes to standard output cannot be resumed: pass -o FILE")
        elif self._done.offset:
            without = " without --overwrite" if overwrite else ""
            lines.append(f"{self._done.rows:,} rows are done: run the same command{without} to continue")
        click.echo("\n".join(map(escape, lines)), err=True)
        raise click.exceptions.Exit(exit_code(error))

    def report(self, as_json: bool) -> None:
        """Print the summary and exit: code 0, or 1 if rows were rejected."""
        seconds = time.monotonic() - self._since
        errors = "standard error" if self._to_stdout else str(errors_path(self._output))
        summary = {
            "output": "standard output" if self._to_stdout else str(self._output),
            "rows": self._done.rows,
            "scored": self._done.scored,
            "refused": self._done.refused,
            "errors": errors if self._done.refused else None,
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


def _read_chunk(chunks: Iterator[Chunk]) -> "asyncio.Future[Chunk | None]":
    """Read the next chunk in a daemon thread, because a pipe may be slow. The result is None at the end.

    A run that stops does not wait for the thread.
    """
    future: Future[Chunk | None] = Future()

    def read() -> None:
        try:
            chunk = next(chunks, None)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(chunk)

    Thread(target=read, daemon=True, name="modelgate score input").start()
    return asyncio.wrap_future(future)


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
