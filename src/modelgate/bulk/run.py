"""Scoring run: read chunks, score several of them concurrently, and write the results in input order."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from threading import Thread
from typing import Any

from ..client.score_rows import ScoredRows
from ..errors import ConfigurationError
from .engine import Engine
from .input import Chunk, Input
from .output import Output

__all__ = ["score_chunks"]


async def score_chunks(
    source: Input,
    engine: Engine,
    output: Output,
    rows: int,
    on_chunk: Callable[[Chunk], None] = lambda _: None,
    on_upload: Callable[[float], None] = lambda _: None,
) -> None:
    """Score the rows of *source* that follow the checkpoint of *output*, and write the results.

    Args:
        source: Rows to score.
        engine: Engine that scores the rows.
        output: Output to write the results to.
        rows: Maximum number of rows per chunk.
        on_chunk: Function called after the results of a chunk are written.
        on_upload: Function called with the completed fraction of an upload, from 0 to 1.

    Raises:
        ConfigurationError: There are no rows, or the input cannot be read.
        ModelgateError: Scoring failed for a reason other than an invalid row.
    """
    done = output.done
    chunks = source.chunks(rows, done)
    in_flight, max_in_flight = deque[tuple[Chunk, "asyncio.Task[ScoredRows]"]](), engine.initial_in_flight
    reading: asyncio.Future[Chunk | None] | None = _read_chunk(chunks)
    try:
        while reading is not None or in_flight:
            waited_for: list[asyncio.Future[Any]] = [task for _, task in islice(in_flight, 1)]
            if reading is not None and len(in_flight) < max_in_flight:
                waited_for.append(reading)
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading in waited_for and reading.done():
                chunk = reading.result()
                if chunk is not None:
                    scoring = engine.score(chunk.rows, is_first=not done.rows)
                    in_flight.append((chunk, asyncio.ensure_future(scoring)))
                elif not done.rows and not in_flight:
                    # Report an invalid header rather than the missing rows.
                    await engine.check_header(source.header)
                    raise ConfigurationError(
                        f"{source.name} has column names but no rows: nothing was scored"
                    )
                reading = None if chunk is None else _read_chunk(chunks)
            if in_flight and in_flight[0][1].done():
                first, task = in_flight.popleft()
                output.add(first, task.result())
                max_in_flight = engine.in_flight
                on_chunk(first)
    finally:
        for _, task in in_flight:
            task.cancel()
        await asyncio.gather(*(task for _, task in in_flight), return_exceptions=True)
    output.finish(on_upload)


def _read_chunk(chunks: Iterator[Chunk]) -> "asyncio.Future[Chunk | None]":
    """Return a future for the next chunk, or for None at the end of the input.

    A slow pipe can block reading, so the chunk is read in a daemon thread, which does not keep the process
    from ending.
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
