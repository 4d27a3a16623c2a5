"""Measure the durations of the phases of a request."""

from time import perf_counter

__all__ = ["Timing"]


class Timing:
    """Timer for the phases of a request. A phase begins when the previous one ends.

    Args:
        started: Start of the first phase, on the clock of `time.perf_counter`.

    Attributes:
        phases: Name, start and end of each phase, on the same clock.
    """

    __slots__ = ("_started", "phases")

    def __init__(self, started: float) -> None:
        self._started = started
        self.phases: list[tuple[str, float, float]] = []

    def mark(self, phase: str) -> None:
        """Record that *phase* ends now."""
        start = self.phases[-1][2] if self.phases else self._started
        self.phases.append((phase, start, perf_counter()))

    def field(self, cache_hit: bool | None) -> str:
        """Return the value of the ``Server-Timing`` field (W3C Server Timing, section 3).

        Durations of phases with the same name are summed.

        Args:
            cache_hit: Whether the model was in memory; None if no model was needed.
        """
        seconds: dict[str, float] = {}
        for phase, start, end in [*self.phases, ("total", self._started, perf_counter())]:
            seconds[phase] = seconds.get(phase, 0.0) + end - start
        description = {None: "", True: ";desc=hit", False: ";desc=miss"}[cache_hit]
        return ", ".join(
            f"{name}{description if name == 'cache' else ''};dur={duration * 1e3:.3f}"
            for name, duration in seconds.items()
        )
