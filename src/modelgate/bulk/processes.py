"""Engine that scores rows in worker processes on this machine."""

import asyncio
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Any, Self

from ..client.rows import Rows
from ..client.score_rows import ScoredRows
from ..errors import ServingError
from .engine import Engine
from .gate_source import GateSource
from .worker import score_chunk

__all__ = ["ProcessEngine"]


class ProcessEngine(Engine):
    """Engine that scores rows in worker processes. Each process creates its own gate.

    Args:
        source: Description of the gate and the deployment.
        workers: Number of worker processes.
    """

    def __init__(self, source: GateSource, workers: int) -> None:
        # Each process needs seconds to import the libraries of the model, so all of them start at once, with
        # their first chunks. Only the error of the first chunk is raised.
        super().__init__(2 * workers, initial_in_flight=workers)
        self._source = source
        threads = max(1, (os.cpu_count() or 1) // workers)
        # A fork of a process with threads can deadlock.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(threads,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Wait even after an error. Otherwise the interpreter writes to the pool's pipe at exit, and this can
        # fail because the pool is being closed.
        self._pool.shutdown(cancel_futures=True)

    async def score(self, rows: Rows, *, is_first: bool) -> ScoredRows:
        return await self._score(rows.header, rows.data, is_first=is_first)

    async def check_header(self, header: bytes) -> None:
        await self._score(header, [], is_first=True)

    async def _score(self, header: bytes, lines: Any, *, is_first: bool) -> ScoredRows:
        call = partial(score_chunk, self._source, header, lines, is_first=is_first)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except BrokenProcessPool:
            raise ServingError(
                "A worker process was killed, probably because memory ran out: use fewer workers"
            ) from None


def _start_worker(threads: int) -> None:
    # Ctrl-C reaches all processes of the terminal, but the main process ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_with_parent, daemon=True, name="modelgate parent watch").start()
    try:
        import threadpoolctl  # type: ignore[import-untyped]
    except ImportError:
        return
    threadpoolctl.threadpool_limits(threads)


def _exit_with_parent() -> None:
    # The pool's queue stays open in the other workers, so a worker would wait for a killed parent forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
