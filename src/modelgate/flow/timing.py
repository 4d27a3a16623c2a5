"""Durations of the phases of a request."""

from time import perf_counter

__all__ = ["Timing"]


class Timing:
    """Durations of the phases of a request. A phase begins when the previous one ends.

    Args:
        started: Start of the first phase, on the clock of `time.perf_counter`.
    """

    __slots__ = ("_last", "_phases", "_started")

    def __init__(self, started: float) -> None:
        self._started = self._last = started
        self._phases: dict[str, float] = {}

    def mark(self, phase: str) -> None:
        """End *phase* now. The durations of phases with the same name are added."""
        now = perf_counter()
        self._phases[phase] = self._phases.get(phase, 0.0) + now - self._last
        self._last = now

    def field(self, cache_hit: bool | None) -> str:
        """Return the value of the ``Server-Timing`` field (W3C Server Timing, section 3).

        Args:
            cache_hit: Whether the model was in memory; None if no model was needed.
        """
        phases = {**self._phases, "total": perf_counter() - self._started}
        description = {None: "", True: ";desc=hit", False: ";desc=miss"}[cache_hit]
        return ", ".join(
            f"{name}{description if name == 'cache' else ''};dur={seconds * 1e3:.3f}"
            for name, seconds in phases.items()
        )
