"""Estimates of how long a model takes."""

__all__ = ["LIGHT", "LIGHT_ROWS", "LatencyEstimator"]

LIGHT = 0.002
"""Duration in seconds below which a call is light: fast enough to run on the event loop."""

LIGHT_ROWS = 1024
"""Largest number of rows in a light call."""

_DECAY, _LARGEST_DECAY = 0.9, 0.99


class LatencyEstimator:
    """Estimate of how long the calls of a model take.

    The estimate for a call is the duration of the slowest one, which decays by 10 % with each faster call:
    after one slow call, the model is not light for a while. The duration per row is estimated from the
    largest recent call. This overestimates larger calls, which is safe.
    """

    def __init__(self) -> None:
        self._slowest: float | None = None
        self._largest: float = 0
        self._per_row: float = 0

    def record(self, elapsed: float, rows: int) -> None:
        """Record that a call with *rows* rows took *elapsed* seconds."""
        self._slowest = elapsed if self._slowest is None else max(elapsed, self._slowest * _DECAY)
        if rows < self._largest:
            # A smaller call does not count for the duration per row, as its fixed cost weighs more.
            self._largest *= _LARGEST_DECAY
            return
        per_row = elapsed / rows
        self._per_row = per_row if rows > self._largest else max(per_row, self._per_row * _DECAY)
        self._largest = rows

    def is_light(self, rows: int, limit: float = LIGHT) -> bool:
        """Return whether a call with *rows* rows is expected to take less than *limit* seconds.

        Always False before the first call is recorded.
        """
        if self._slowest is None or rows > LIGHT_ROWS:
            return False
        return self._slowest < limit and rows * self._per_row < limit
