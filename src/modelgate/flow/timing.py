"""Where the time of one request goes."""

from time import perf_counter

__all__ = ["Timing"]


class Timing:
    """The phases of a request, each from the end of the one before.

    Args:
        started: when the first one began, on the clock of `time.perf_counter`.
    """

    __slots__ = ("_last", "_phases", "_started")

    def __init__(self, started: float) -> None:
        self._started = self._last = started
        self._phases: dict[str, float] = {}

    def mark(self, phase: str) -> None:
        """Now *phase* ends. What has ended before goes on."""
        now = perf_counter()
        self._phases[phase] = self._phases.get(phase, 0.0) + now - self._last
        self._last = now

    def field(self, cache_hit: bool | None) -> str:
        """The value of ``Server-Timing`` (W3C Server Timing, section 3), the model having been in memory or not."""
        phases = {**self._phases, "total": perf_counter() - self._started}
        described = {None: "", True: ";desc=hit", False: ";desc=miss"}[cache_hit]
        return ", ".join(
            f"{name}{described if name == 'cache' else ''};dur={seconds * 1e3:.3f}"
            for name, seconds in phases.items()
        )
