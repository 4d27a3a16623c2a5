"""``modelgate score``: a file of CSV, scored by a deployment."""

import asyncio
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import click

from ..errors import (
    ConfigurationError,
    Forbidden,
    ModelgateError,
    RateLimitExceeded,
    ServingError,
    Unauthorized,
)
from .checkpoint import Checkpoint
from .csv_file import COMPRESSED_SUFFIXES
from .inspect import from_environment
from .progress import Show, progress, told
from .tables import plain, print_json

if TYPE_CHECKING:
    from ..client.session import Session
    from .score_input import Input
    from .score_output import Output

__all__ = ["score"]

_ATTEMPTS, _DEADLINE, _TIMEOUT = 20, 3600.0, 300.0
"""Of one chunk: nobody waits at a terminal for it, and the next run goes on where this one stopped."""

_UNREACHED = 5
"""Attempts to reach a server that has never answered: its address is wrong, mostly."""

_LONG = 3.0
"""From how many seconds on a wait is told; of several chunks that wait together, one is."""


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "url", metavar="URL", required=True, help="Of the deployment: http://host/ml/churn.")
@click.option(
    "--key-env",
    "key",
    metavar="VARIABLE",
    callback=from_environment,
    help="The environment variable that holds the API key.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="By default FILE with .predictions before its ending, and without that of its compression.",
)
@click.option("--overwrite", is_flag=True, help="Begin anew, whatever is there.")
@click.option(
    "--rows",
    "chunk",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="The most rows of one request.",
)
@click.option(
    "--in-flight", type=click.IntRange(1, 64), default=4, show_default=True, help="How many requests at once."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def score(
    path: Path, url: str, key: str | None, output: Path | None, overwrite: bool, as_json: bool, **options: Any
) -> None:
    """Score the rows of a CSV file, which gzip, bzip2 or xz may have compressed.

    A line of predictions is written for each row, in their order; one that is refused has empty cells, and
    stands in a second file with its line and the reason. What was begun and stopped is gone on with.

    Exit codes: 0 all rows scored; 1 some refused; 2 the command, the file or the URL cannot work, or there are no
    rows; 3 the key or a limit refuses it; 4 the server fails.
    """
    from .score_output import alone, begun, check_paths

    if output is None:
        uncompressed = path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path
        output = uncompressed.with_name(f"{uncompressed.stem}.predictions{uncompressed.suffix}")
    check_paths(path, output)
    anew = Checkpoint(url=url, chunk=options["chunk"])
    with alone(output) as file:
        job = _Job(path, output, anew if overwrite else begun(anew, output), key, **options)
        try:
            with progress(path.name) as show:
                asyncio.run(job.run(file, show))
        except (ModelgateError, OSError, KeyboardInterrupt) as error:
            job.stop(error, overwrite)
    job.report(as_json)


class _Job:
    """One run over a file.

    Args:
        path: of the file.
        output: of the predictions.
        done: how far it is.
        key: of the gate.
        chunk: the most rows of one request.
        in_flight: how many requests at once.
    """

    def __init__(
        self, path: Path, output: Path, done: Checkpoint, key: str | None, *, chunk: int, in_flight: int
    ) -> None:
        self._path = path
        self._output = output
        self._done = done
        self._key = key
        self._chunk = chunk
        self._in_flight = in_flight
        self._waits, self._told_until = 0, 0.0
        self._is_reached = False
        self._resumed = done.rows
        self._since = time.monotonic()

    async def run(self, file: BinaryIO, show: Show) -> None:
        """Score what is not done yet; *file* is that of the predictions."""
        from ..client.clients import httpx_package
        from .score_input import Input
        from .score_output import Output

        source = Input(self._path)
        httpx = httpx_package()
        limits = httpx.Limits(max_connections=self._in_flight)
        async with httpx.AsyncClient(limits=limits) as http:
            session = self._session(http)
            with Output(file, self._output, self._done) as output:
                await self._score(source, session, output, show)

    def _session(self, http: Any) -> "Session":
        from ..client.retry import Retry
        from ..client.session import Session

        retry = Retry(_ATTEMPTS, _DEADLINE, _TIMEOUT)
        return Session(
            self._done.url,
            self._key,
            retry,
            http,
            batch_rows=self._chunk,
            batch_bytes=1 << 30,
            on_wait=self._waited,
        )

    def _waited(self, seconds: float, error: ModelgateError) -> None:
        from ..client.errors import ConnectionFailed

        self._waits += 1
        self._is_reached = self._is_reached or not isinstance(error, ConnectionFailed)
        if not self._is_reached and self._waits >= _UNREACHED:
            error.add_note(f"given up after {self._waits} attempts: it has never answered")
            raise error
        now = time.monotonic()
        if seconds >= _LONG and now >= self._told_until:
            self._told_until = now + seconds
            click.echo(
                f"{self._path.name}  waiting {seconds:.0f} s for the server: {plain(str(error))}", err=True
            )

    async def _score(self, source: "Input", session: "Session", output: "Output", show: Show) -> None:
        from ..client.scored import check_header, scored
        from ..flow import adrive

        chunks = source.chunks(self._chunk, self._done)
        # The first alone: what is wrong with all of them is told once.
        flying, room = deque[Any](), 1
        chunk = next(chunks, None)
        if chunk is None and not self._done.rows:
            # What else is wrong with the file comes first.
            await adrive(check_header(session, source.header))
            raise ConfigurationError(f"{self._path} has a header line and no rows: nothing was scored")
        try:
            while chunk is not None or flying:
                while chunk is not None and len(flying) < room:
                    flow = scored(session, chunk.rows, is_first=not self._done.rows)
                    flying.append((chunk, asyncio.ensure_future(adrive(flow))))
                    chunk = next(chunks, None)
                first, answer = flying[0]
                output.add(first, await answer)
                flying.popleft()
                room, self._is_reached = self._in_flight, True
                rows, now = self._done.rows, time.monotonic()
                show(first.part, told(first.part, rows, self._resumed, self._since, source.begun, now))
        finally:
            for _, answer in flying:
                answer.cancel()
            await asyncio.gather(*(answer for _, answer in flying), return_exceptions=True)
        output.finish()

    def stop(self, error: BaseException, overwrite: bool) -> NoReturn:
        """Say what happened, and that it can be gone on with; end with its exit code."""
        lines = ["Stopped"] if isinstance(error, KeyboardInterrupt) else [f"Error: {error}"]
        lines += getattr(error, "__notes__", ())
        if self._done.offset:
            same = "the same command, without --overwrite," if overwrite else "the same command"
            lines.append(f"{self._done.rows:,} rows are done: {same} goes on with the next")
        click.echo("\n".join(map(plain, lines)), err=True)
        raise click.exceptions.Exit(code_of(error))

    def report(self, as_json: bool) -> None:
        """Tell what was done, and end with its exit code."""
        from .score_output import errors_path

        seconds = time.monotonic() - self._since
        summary = {
            "output": str(self._output),
            "rows": self._done.rows,
            "scored": self._done.scored,
            "refused": self._done.refused,
            "errors": str(errors_path(self._output)) if self._done.refused else None,
            "versions": self._done.versions,
            "resumed_at": self._resumed,
            "waits": self._waits,
            "seconds": round(seconds, 3),
            "rows_per_second": round((self._done.rows - self._resumed) / seconds),
        }
        if as_json:
            print_json(summary)
        else:
            click.echo(plain(_sentence(summary)))
        raise click.exceptions.Exit(1 if self._done.refused else 0)


def _sentence(summary: dict[str, Any]) -> str:
    parts = [f"{summary['output']}: {summary['rows']:,} rows", f"{summary['rows_per_second']:,} rows/s"]
    if len(summary["versions"]) > 1:
        parts.append(f"by the versions {', '.join(summary['versions'])} of the model")
    if summary["waits"]:
        parts.append(f"{summary['waits']:,} waits for the server")
    if summary["refused"]:
        parts.append(f"{summary['refused']:,} refused: {summary['errors']}")
    return " · ".join(parts)


def code_of(error: BaseException) -> int:
    """The exit code that *error* ends the command with."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, Unauthorized | Forbidden | RateLimitExceeded):
        return 3
    status = getattr(error, "status", None)
    failed = isinstance(error, ServingError) or getattr(error, "retried", None) is not None
    return 4 if failed or (status is not None and status >= 500) else 2
