"""Call the model for a batch. If a call fails, repeat it for each half of the batch."""

from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar
from typing import NamedTuple

from ...schema import Table
from ..model_metrics import LatencyEstimator, ModelMetrics
from ..prediction import Prediction
from .waiters import Result, Waiter

__all__ = ["BatchInfo", "ModelCalls", "is_in_call"]


_in_call = ContextVar("modelgate_in_call", default=False)


def is_in_call() -> bool:
    """Return whether the caller runs inside a call of a model.

    This is the case in the context in which a batch is scored, and in copies of this context.
    """
    return _in_call.get()


class BatchInfo(NamedTuple):
    """Counters of a `Batcher`.

    Args:
        requests: Number of tables scored.
        batches: Number of calls of the model.
        inline: Number of batches scored on an event loop.
        failed: Number of failed calls. A failed call for several tables was repeated for each half of the
            tables.
        rejected: Number of tables rejected because the queue was full or a call was stuck.
    """

    requests: int
    batches: int
    inline: int
    failed: int
    rejected: int


class ModelCalls:
    """Calls of a model, each of which scores all tables of a batch.

    A table that is scored alone is scored with the context variables of its request. Several tables are
    scored in an empty context.

    Args:
        score: Function that returns the prediction for a table. The prediction for a row must not depend
            on other rows.
        metrics: Counters of the model's calls.

    Attributes:
        latency: Estimate of the duration of a call.
        requests: Number of tables scored.
        batches: Number of calls made.
        failed: Number of calls that failed.
    """

    def __init__(self, score: Callable[[Table], Prediction], metrics: ModelMetrics) -> None:
        self._score = score
        self._metrics = metrics
        self.latency = LatencyEstimator()
        self.requests = self.batches = self.failed = 0

    def score_now(self, table: Table, rows: int) -> Prediction:
        """Return the prediction for *table*, which has *rows* rows, by one call in this thread."""
        self.batches += 1
        try:
            prediction, elapsed = self._metrics.measure("unbatched", rows, self._score, table)
        except BaseException:
            self.failed += 1
            raise
        self.latency.record(elapsed, rows)
        self.requests += 1
        return prediction

    def score(self, batch: Sequence[Waiter], reason: str, own: Waiter | None = None) -> Sequence[Result]:
        """Return a prediction or an error for each table of *batch*.

        If the call fails and the batch has several tables, each half of the batch is scored separately. See
        `predict` for the arguments.
        """
        return self.try_score(batch, reason, own) or self.score_halves(batch)

    def try_score(
        self, batch: Sequence[Waiter], reason: str, own: Waiter | None = None
    ) -> Sequence[Result] | None:
        """Score *batch* in one call, and return the results.

        If the call fails, return None for several tables; for a single table, return the error as its result.
        """
        try:
            return self.predict(batch, reason, own)
        except Exception as error:
            return [error] if len(batch) == 1 else None

    def score_halves(self, batch: Sequence[Waiter]) -> Sequence[Result]:
        """Score each half of *batch* separately, and return a prediction or an error for each table."""
        middle = len(batch) // 2
        return [*self.score(batch[:middle], "split"), *self.score(batch[middle:], "split")]

    def predict(
        self, batch: Sequence[Waiter], reason: str, own: Waiter | None = None
    ) -> Sequence[Prediction]:
        """Score *batch* in one call, and return the prediction for each table.

        Args:
            batch: Waiters whose tables are scored.
            reason: Reason why the call is made, one of `model_metrics.REASONS`.
            own: Waiter of this thread; None if it has none. If the batch consists only of this waiter, the
                model is called in the current context. Any other single waiter is scored in the context of
                its own request.

        Raises:
            Exception: The error that the model raised.
        """
        self.batches += 1
        outer, alone = _in_call.get(), len(batch) == 1
        try:
            try:
                _in_call.set(True)
                if alone:
                    first = batch[0]
                    rows, table, context = first.rows, first.table, None if first is own else first.context
                else:
                    rows, context = sum(waiter.rows for waiter in batch), Context()
                    table = Table.concat([waiter.table for waiter in batch])
                if context is None:
                    prediction, elapsed = self._metrics.measure(reason, rows, self._score, table)
                else:
                    context.run(_in_call.set, True)
                    prediction, elapsed = self._metrics.measure(reason, rows, context.run, self._score, table)
                predictions = [prediction] if alone else prediction.split([waiter.rows for waiter in batch])
            finally:
                _in_call.set(outer)
        except BaseException:
            # A KeyboardInterrupt may have ended the `finally` before it did anything.
            _in_call.set(outer)
            self.failed += 1
            raise
        self.latency.record(elapsed, rows)
        self.requests += len(batch)
        return predictions
