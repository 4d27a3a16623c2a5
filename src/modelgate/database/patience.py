"""Connections to PostgreSQL that do not wait for ever."""

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg

__all__ = ["PatientConnection"]

T = TypeVar("T")

_SILENCE = 30.0
"""For how many seconds a server may say nothing: a large package is written without a word."""


class PatientConnection(psycopg.Connection[Any]):
    """One that ends where its server says nothing for long.

    A process that is stopped, or a disk that hangs, leaves the server's kernel to acknowledge what is sent:
    neither keepalives nor ``tcp_user_timeout`` notice that, and no limit of the server's own holds.
    """

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """See psycopg: it is asked ten times a second whether to go on."""
        try:
            return super().wait(_ending(gen), *args, **options)
        except TimeoutError as error:
            self.close()
            raise psycopg.OperationalError(str(error)) from None


def _ending(steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """*steps*, while something is ready to be read or written now and then."""
    try:
        wait = next(steps)
        until = monotonic() + _SILENCE
        while True:
            ready = yield wait
            if ready:
                until = monotonic() + _SILENCE
            elif monotonic() > until:
                raise TimeoutError(f"the database has said nothing for {_SILENCE:g} seconds")
            wait = steps.send(ready)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
