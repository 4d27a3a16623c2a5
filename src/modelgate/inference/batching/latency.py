"""Estimates of how long a model takes."""

__all__ = ["LIGHT", "LIGHT_ROWS", "LatencyEstimator"]

LIGHT = 0.002
"""Seconds that a call may take if it is to run on the event loop."""

LIGHT_ROWS = 1024
"""Largest number of rows in a light call."""

_DECAY, _LARGEST_DECAY = 0.9, 0.99


class LatencyEstimator:
    """Estimate of how long the calls of a model take.

    It follows the slowest call, which decays with each faster one: after one spike a model is not light for
    a while. The cost of a row is estimated from the largest recent call; this overestimates larger calls,
    which is safe.
    """

    def __init__(self) -> None:
        self._slowest: float | None = None
        self._largest: float = 0
        self._per_row: float = 0

    def record(self, elapsed: float, rows: int) -> None:
        """Record that a call with *rows* rows took *elapsed* seconds."""
        self._slowest = elapsed if self._slowest is None else max(elapsed, self._slowest * _DECAY)
        if rows < self._largest:
            # Not used for the cost of a row: the fixed cost of a call weighs more in a smaller one.
            self._largest *= _LARGEST_DECAY
            return
        per_row = elapsed / rows
        self._per_row = per_row if rows > self._largest else max(per_row, self._per_row * _DECAY)
        self._largest = rows

    def is_light(self, rows: int, limit: float = LIGHT) -> bool:
        """Return whether a call with *rows* rows is expected to take less than *limit* seconds.

        Before the first call is recorded, none is light.
        """
        if self._slowest is None or rows > LIGHT_ROWS:
            return False
        return self._slowest < limit and rows * self._per_row < limit
