"""Calls of a model for a batch, and the search for the table at which one fails."""

import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial

from ..flow import contained
from ..schema import Table
from .pace import Pace
from .query import Prediction
from .tally import Tally
from .waiting import Outcome, Waiting

__all__ = ["Calls", "in_call"]


class _Thread(threading.local):
    in_call = False


_thread = _Thread()


def in_call() -> bool:
    """Return whether this thread makes a call for a batch, so that the caller is a model."""
    return _thread.in_call


class Calls:
    """Scores the tables of a batch in one call.

    A table that is scored alone is scored with the context variables of its caller, several together with none.

    Args:
        score: gives the prediction of a table, row by row: no row's depends on the others.
        tally: counts the calls.

    Attributes:
        pace: how long they take.
        requests: how many tables were scored.
        made: how many calls were made.
        failed: how many of them failed.
    """

    def __init__(self, score: Callable[[Table], Prediction], tally: Tally) -> None:
        self._score = score
        self._tally = tally
        self.pace = Pace()
        self.requests = self.made = self.failed = 0

    def outcomes(
        self, batch: Sequence[Waiting], reason: str, own: Waiting | None = None
    ) -> Sequence[Outcome]:
        """Return a prediction or an error for each table of *batch*; halve a batch that fails."""
        try:
            return self.predictions(batch, reason, own)
        except Exception as error:
            return [error] if len(batch) == 1 else self.halves(batch)

    def halves(self, batch: Sequence[Waiting]) -> Sequence[Outcome]:
        """Return a prediction or an error for each table of *batch*, which failed as a whole."""
        middle = len(batch) // 2
        return [*self.outcomes(batch[:middle], "split"), *self.outcomes(batch[middle:], "split")]

    def predictions(
        self, batch: Sequence[Waiting], reason: str, own: Waiting | None = None
    ) -> Sequence[Prediction]:
        """Return the prediction for each table of *batch*.

        Args:
            batch: the tables.
            reason: why the call is made now, one of `tally.REASONS`.
            own: the table that this thread waits for; alone, it needs no copy of its caller's context.

        Raises:
            Exception: the error that the model raised.
        """
        self.made += 1
        outer = _thread.in_call
        try:
            try:
                _thread.in_call = True
                if len(batch) == 1:
                    table, context = batch[0].table, None if batch[0] is own else batch[0].context
                else:
                    table, context = Table.joined([waiting.table for waiting in batch]), Context()
                call = partial(contained, self._score, table)
                if context is not None:
                    call = partial(context.run, call)
                rows = len(table)
                whole, took = self._tally.timed(reason, rows, call)
                predictions = whole.parted([waiting.rows for waiting in batch])
            finally:
                _thread.in_call = outer
        except BaseException:
            # As in `Tally.timed`.
            _thread.in_call = outer
            self.failed += 1
            raise
        self.pace.note(took, rows)
        self.requests += len(batch)
        return predictions
