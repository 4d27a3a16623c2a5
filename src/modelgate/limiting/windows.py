"""Rates such as ``"60/minute; 10000/day"``, and the arithmetic of counting against them.

For each bucket a window keeps two numbers, whatever its amount: when its current step began, and a
ring of counts, one a step, packed into one whole number with the newest count in the lowest bits.
A fixed window has one step, a sliding one two, a moving one five. Nothing here has state or a clock.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from ..errors import ConfigurationError

__all__ = ["STRATEGIES", "FixedWindow", "MovingWindow", "Rate", "SlidingWindow", "parse_windows"]

_WINDOW = re.compile(r"\s*([0-9]{1,15})\s*(?:/|per\b)\s*([0-9]{1,9})?\s*([a-z]+)\s*", re.IGNORECASE)
_LONGEST = 10
"""For how many years a window lasts at most. Redis takes no time to live that overflows 64 bits of milliseconds."""
_SEPARATORS = re.compile(r"[;,|]")


@cache
def _units() -> dict[str, int]:
    """The units there are, in seconds: those of the library `limits`, whose notation this is."""
    # Its import takes longer than all else that `import modelgate` does.
    from limits.limits import GRANULARITIES

    kinds = sorted(GRANULARITIES.values(), key=lambda kind: kind.GRANULARITY.seconds)
    return {kind.GRANULARITY.name: kind.GRANULARITY.seconds for kind in kinds}


class FixedWindow:
    """Lets *amount* pass from the first charge on, until its span is over.

    Up to twice the amount may pass within one span where that lies across an edge.

    Args:
        amount: how much passes.
        multiple: how many units it lasts.
        unit: ``"second"`` to ``"year"``.
        capacity: what a count may grow to; *amount* by default.

    Attributes:
        steps: for how many steps a charge is counted.
    """

    steps = 1

    def __init__(self, amount: int, multiple: int, unit: str, *, capacity: int | None = None) -> None:
        self.amount = amount
        self.multiple = multiple
        self.unit = unit
        self.span = multiple * _units()[unit]
        self.step: float = self.span
        self.capacity = capacity or amount
        # One bit to spare keeps the remainder in `used` from meeting its modulus.
        self._bits = (self.capacity + 1).bit_length()
        self._low = (1 << self._bits) - 1

    def __str__(self) -> str:
        return f"{self.amount} per {self.multiple} {self.unit}"

    @property
    def kept(self) -> float:
        """For how many seconds a charge is counted, at most."""
        return self.steps * self.step

    def ring(self, counts: Iterable[int]) -> int:
        """The ring of *counts*, the newest first."""
        return sum(count << at * self._bits for at, count in enumerate(counts))

    def share(self, parts: int) -> "FixedWindow":
        """One of so many equal parts of it, at least one, which can go on with its counts."""
        amount = max(1, self.amount // parts)
        return type(self)(amount, self.multiple, self.unit, capacity=self.capacity)

    def moved(self, begun: float, ring: int, now: float) -> tuple[float, int]:
        """Where a step that is over, or empty, stands at *now*. A window without counts begins anew.

        A clock set back takes the window with it: nobody waits for longer than the window lasts.
        """
        if ring and now < begun:
            return now, ring
        # The edges told are rounded, and must hold.
        passed = max(1, int((now - begun) / self.step + 1e-9))
        ring = (
            (ring << passed * self._bits) & ((1 << self.steps * self._bits) - 1) if passed < self.steps else 0
        )
        return (begun + passed * self.step, ring) if ring else (now, 0)

    def used(self, ring: int, age: float) -> int:  # noqa: ARG002  the sliding window's
        """What is counted, the current step being *age* seconds old."""
        # The sum of the ring's counts: casting out nines, in the base of the counts.
        return ring % self._low

    def until(self, begun: float, ring: int, cost: int) -> float:  # noqa: ARG002
        """When *cost*, which does not fit now, will."""
        return begun + self.step

    def given_back(self, begun: float, ring: int, cost: int, when: float) -> int:
        """The ring without the *cost* charged at *when*, as far as it is still counted."""
        at = max(0, math.ceil((begun - when) / self.step)) * self._bits
        return ring - (cost << at) if (ring >> at) & self._low >= cost else ring


class MovingWindow(FixedWindow):
    """Lets no more than *amount* pass in any span at all.

    It counts in quarters of its span, and forgets a quarter when all of it is older than the span: a
    charge is counted for one span, and for a quarter of one longer at most.
    """

    steps = 5

    def __init__(self, amount: int, multiple: int, unit: str, *, capacity: int | None = None) -> None:
        super().__init__(amount, multiple, unit, capacity=capacity)
        self.step = self.span / 4

    def until(self, begun: float, ring: int, cost: int) -> float:
        """When as many of the oldest counts have fallen out as it takes."""
        free = self.amount - ring % self._low
        for at in range((ring.bit_length() - 1) // self._bits, -1, -1):
            free += (ring >> at * self._bits) & self._low
            if free >= cost:
                return begun + (self.steps - at) * self.step
        return begun + self.kept if ring else begun


class SlidingWindow(FixedWindow):
    """Weighs the count of the span before by as much of it as a span ending now would cover.

    It takes the charges of the span before for evenly spread: where they were not, somewhat more
    than *amount* may pass in a span.
    """

    steps = 2

    def used(self, ring: int, age: float) -> int:
        """The weighted count, in whole numbers."""
        return (ring & self._low) + int((ring >> self._bits) * (1 - age / self.step))

    def until(self, begun: float, ring: int, cost: int) -> float:
        """When the weight of the older count is small enough."""
        room, current, before = self.amount - cost, ring & self._low, ring >> self._bits
        if before and current <= room:
            return begun + self.step * (1 - (room - current) / before)
        return begun + self.step * (2 - max(0, room) / current if current else 1)


STRATEGIES = {"fixed": FixedWindow, "sliding": SlidingWindow, "moving": MovingWindow}


@dataclass(frozen=True, eq=False)
class Rate:
    """Windows that hold together.

    Args:
        windows: the one that lasts longest first.
        text: names them.
    """

    windows: Sequence[FixedWindow]
    text: str

    @classmethod
    def parse(cls, rate: str, strategy: str = "fixed") -> "Rate":
        """The rate that *rate* writes. Raises `ConfigurationError` where it cannot be read."""
        if strategy not in list(STRATEGIES):
            raise ConfigurationError(f"strategy={strategy!r}: accepts {', '.join(STRATEGIES)}")
        windows = parse_windows(rate, strategy)
        return cls(windows, f"{strategy} {'; '.join(map(str, windows))}")

    @cached_property
    def capacity(self) -> int:
        """The most that can ever pass at once."""
        return min(window.capacity for window in self.windows)

    @cached_property
    def plan(self) -> list[tuple[int, FixedWindow, int, float, Callable[[int, float], int] | None]]:
        """For each window where its numbers stand among those of all, its amount and step, and what weighs
        its ring.

        A fixed window's ring is its count.
        """
        return [
            (2 * at, window, window.amount, window.step, window.used if window.steps > 1 else None)
            for at, window in enumerate(self.windows)
        ]

    @cached_property
    def rings(self) -> range:
        """Where the rings stand among the numbers of all windows."""
        return range(1, 2 * len(self.windows), 2)

    @cached_property
    def kept(self) -> float:
        """For how many seconds a charge is counted, at most."""
        return max(window.kept for window in self.windows)

    def share(self, parts: int) -> "Rate":
        """One of so many equal parts, which goes on with the same counts."""
        return Rate([window.share(parts) for window in self.windows], self.text)


def parse_windows(rate: str, strategy: str = "fixed", *, option: str = "rate") -> list[FixedWindow]:
    """The windows of ``"60/minute; 10000/day"``, the one that lasts longest first.

    Raises:
        ConfigurationError: it cannot be read, or lets nobody pass; it says which part.
    """
    parts = _SEPARATORS.split(rate) if isinstance(rate, str) else []
    try:
        windows = [_window(part, strategy) for part in parts or [""]]
    except ValueError as error:
        raise ConfigurationError(
            f'{option}={rate!r}: {error}: accepts one window or more, for example "60/minute; 10000/day"'
        ) from None
    return sorted(windows, key=lambda window: -window.span)


def _window(part: str, strategy: str) -> FixedWindow:
    told = _WINDOW.fullmatch(part)
    if told is None:
        raise ValueError(f"{part.strip()!r} is no window")
    amount, multiple, unit = int(told[1]), int(told[2] or 1), told[3].lower().removesuffix("s")
    if unit not in _units():
        raise ValueError(f"{told[3]!r} is no unit of {', '.join(_units())}")
    if not amount or not multiple:
        raise ValueError(f"{part.strip()!r} lets nobody pass")
    if multiple * _units()[unit] > _LONGEST * _units()["year"]:
        raise ValueError(f"{part.strip()!r} lasts for more than {_LONGEST} years")
    return STRATEGIES[strategy](amount, multiple, unit)
