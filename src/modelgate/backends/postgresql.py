"""PostgreSQL connections with a read timeout."""

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg

__all__ = ["TimeoutConnection"]

T = TypeVar("T")

_SILENCE = 30.0
"""Seconds without sent or received data after which a connection is closed. A shorter timeout would fail for
large packages: the server sends nothing while it stores one."""


class TimeoutConnection(psycopg.Connection[Any]):
    """PostgreSQL connection that is closed after a period without any response.

    This detects a server whose process is stopped or whose disk hangs. Other timeouts do not detect it:

    - keepalives and ``tcp_user_timeout``, because the kernel of the server still acknowledges packets
    - timeouts of the server, because its process cannot apply them
    - `PoolQuota.run_with_timeout`, because it ends the call, but leaves the hanging connection in the pool
    """

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Call `psycopg.Connection.wait`, and close the connection if the server does not respond in time.

        While psycopg waits, it resumes *gen* ten times a second. Each time, the timeout is checked.
        """
        try:
            return super().wait(_with_timeout(gen), *args, **options)
        except TimeoutError as error:
            self.close()
            raise psycopg.OperationalError(str(error)) from None


def _with_timeout(steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """Run *steps*. Raise TimeoutError if the connection is not ready to read or write for too long."""
    try:
        wait = next(steps)
        deadline = monotonic() + _SILENCE
        while True:
            ready = yield wait
            if ready:
                deadline = monotonic() + _SILENCE
            elif monotonic() > deadline:
                raise TimeoutError(f"the database has not responded for {_SILENCE:g} s")
            wait = steps.send(ready)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
