"""How long a model takes."""

__all__ = ["LIGHT", "LIGHT_ROWS", "Pace"]

LIGHT = 0.002
"""How long a model may take, in seconds, to run on the event loop."""

LIGHT_ROWS = 1024
"""How many rows a light call has at most."""

_FORGETTING, _FORGETTING_LARGEST = 0.9, 0.99


class Pace:
    """How long the calls of a model take.

    The slowest call counts, and is forgotten bit by bit: one spike keeps a model from being light.
    A row is taken to cost what one of the largest call of late did, which is more than one of a larger call.
    """

    def __init__(self) -> None:
        self._slowest: float | None = None
        self._largest: float = 0
        self._row: float = 0

    def note(self, took: float, rows: int) -> None:
        """A call with so many rows took so many seconds."""
        self._slowest = took if self._slowest is None else max(took, self._slowest * _FORGETTING)
        if rows < self._largest:
            # The more rows, the less of the time is that of the call itself.
            self._largest *= _FORGETTING_LARGEST
            return
        self._row = took / rows if rows > self._largest else max(took / rows, self._row * _FORGETTING)
        self._largest = rows

    def is_light(self, rows: int, limit: float = LIGHT) -> bool:
        """Whether a call with *rows* rows will take less than *limit* seconds, as far as is known."""
        if self._slowest is None or rows > LIGHT_ROWS:
            return False
        return self._slowest < limit and rows * self._row < limit
