"""Run worker processes that are forked from one process and share its memory."""

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

__all__ = ["run_workers"]

logger = logging.getLogger("modelgate")

# SIGHUP means that the terminal has ended. nohup disables this signal, and Windows does not have it.
_SIGNALS = (
    *(signal.SIGINT, signal.SIGTERM),
    *(
        [signal.SIGHUP]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        else ()
    ),
)

_PAUSE = 1.0
"""Seconds to wait before workers that end soon after their start are replaced."""


def run_workers(serve: Callable[[], None], count: int) -> None:
    """Call *serve* in *count* forked processes until a signal arrives: SIGINT, SIGTERM or SIGHUP.

    A process that ends earlier is replaced. After the signal, or if this process is killed, the workers get
    SIGTERM and should finish their requests.
    """
    supervisor = _Supervisor(serve, count)
    previous = [signal.signal(number, supervisor.stop) for number in _SIGNALS]
    try:
        # Garbage collection writes to the objects that it visits. In a worker, this would copy the shared
        # memory. Frozen objects are not visited.
        gc.collect()
        gc.freeze()
        supervisor.run()
    finally:
        for number, handler in zip(_SIGNALS, previous, strict=True):
            signal.signal(number, handler)


class _Supervisor:
    """Supervisor that starts workers, and replaces workers that end.

    Args:
        serve: See `run_workers`.
        count: Number of workers.
    """

    def __init__(self, serve: Callable[[], None], count: int) -> None:
        self._serve = serve
        self._count = count
        self._workers: list[ForkProcess] = []
        self._is_stopping = False

    def stop(self, *_: Any) -> None:
        """Signal handler that sends SIGTERM to the workers, and prevents new workers from starting."""
        self._is_stopping = True
        for worker in self._workers:
            worker.terminate()

    def run(self) -> None:
        """Run the workers until `stop` is called and all of them have ended."""
        while not self._is_stopping:
            self._start_missing()
            started_at = time.monotonic()
            connection.wait([worker.sentinel for worker in self._workers])
            self._remove_ended()
            if time.monotonic() - started_at < _PAUSE and not self._is_stopping:
                time.sleep(_PAUSE)
        # The handler may have run between the start of a worker and its registration.
        self.stop()
        for worker in self._workers:
            worker.join()

    def _start_missing(self) -> None:
        while len(self._workers) < self._count:
            worker = multiprocessing.get_context("fork").Process(target=self._run_worker)
            worker.start()
            self._workers.append(worker)

    def _remove_ended(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive()]:
            self._workers.remove(worker)
            if not self._is_stopping:
                logger.error("serve: worker %s ended with status %s: replaced", worker.pid, worker.exitcode)

    def _run_worker(self) -> None:
        for number in _SIGNALS:
            # When the terminal ends, SIGHUP also reaches the workers. They ignore it and wait for SIGTERM.
            signal.signal(number, signal.SIG_DFL if number in _SIGNALS[:2] else signal.SIG_IGN)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        self._serve()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
