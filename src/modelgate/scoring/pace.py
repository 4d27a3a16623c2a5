"""How long a model takes."""

__all__ = ["LIGHT", "LIGHT_ROWS", "Pace"]

LIGHT = 0.002
"""How long a model may take, in seconds, to run on the event loop."""

LIGHT_ROWS = 256
"""How many rows a light call has at most."""

_FORGETTING = 0.9


class Pace:
    """How long the calls of a model take.

    The slowest call counts, and is forgotten bit by bit: one spike keeps a model from being light.
    """

    def __init__(self) -> None:
        self._slowest: float | None = None

    def note(self, took: float) -> None:
        """A call took so many seconds."""
        self._slowest = took if self._slowest is None else max(took, self._slowest * _FORGETTING)

    def is_light(self, rows: int, limit: float = LIGHT) -> bool:
        """Whether a call with *rows* rows will take less than *limit* seconds, as far as is known."""
        return self._slowest is not None and self._slowest < limit and rows <= LIGHT_ROWS
