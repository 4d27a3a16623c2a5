"""Rates such as ``"60/minute; 10000/day"``, and the arithmetic of their windows.

A window is counted in steps: a fixed window has one step, a sliding window two, and a moving window five. The
state of a window for one caller always consists of two numbers. The first is the start of the current step,
in seconds since the epoch. The second contains the count of each step, packed into one integer with the
newest in the lowest bits. This module has no state and no clock.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from ..errors import ConfigurationError

__all__ = ["STRATEGIES", "FixedWindow", "MovingWindow", "Rate", "SlidingWindow", "parse_windows"]

_WINDOW = re.compile(r"\s*([0-9]{1,15})\s*(?:/|per\b)\s*([0-9]{1,9})?\s*([a-z]+)\s*", re.IGNORECASE)
_MAX_YEARS = 10
"""Maximum length of a window. Redis rejects a time to live that overflows 64 bits of milliseconds."""
_SEPARATORS = re.compile(r"[;,|]")


@cache
def _units() -> dict[str, int]:
    """Return the length of each unit in seconds. The `limits` library uses the same names."""
    # Importing `limits` takes longer than the rest of `import modelgate`.
    from limits.limits import GRANULARITIES

    kinds = sorted(GRANULARITIES.values(), key=lambda kind: kind.GRANULARITY.seconds)
    return {kind.GRANULARITY.name: kind.GRANULARITY.seconds for kind in kinds}


class FixedWindow:
    """Window that starts with its first charge and lets *amount* pass until it ends.

    Up to twice the amount may pass in a period that spans the end of one window and the start of
    the next.

    Args:
        amount: Maximum total cost of the requests in a window.
        multiple: Length of the window, as a multiple of *unit*.
        unit: Unit of time, from ``"second"`` to ``"year"``.
        capacity: Largest count of a step that the packed integer can hold; *amount* by default. A window
            returned by `share` has the capacity of the original window.

    Attributes:
        steps: Number of steps that are counted; 1 because a fixed window is not divided.
    """

    steps = 1

    def __init__(self, amount: int, multiple: int, unit: str, *, capacity: int | None = None) -> None:
        self.amount = amount
        self.multiple = multiple
        self.unit = unit
        self.span = multiple * _units()[unit]
        self.step: float = self.span
        self.capacity = capacity or amount
        # The extra bit keeps the sum of the counts below the modulus in `usage`.
        self._bits = (self.capacity + 1).bit_length()
        self._mask = (1 << self._bits) - 1

    def __str__(self) -> str:
        return f"{self.amount} per {self.multiple} {self.unit}"

    @property
    def retention(self) -> float:
        """Maximum time for which a charge is counted, in seconds."""
        return self.steps * self.step

    def pack_counts(self, counts: Iterable[int]) -> int:
        """Pack *counts*, newest first, into one integer."""
        return sum(count << index * self._bits for index, count in enumerate(counts))

    def share(self, parts: int) -> "FixedWindow":
        """Return a copy with the amount ``amount // parts``, or 1 if that is 0.

        The copy can read counts that this window has packed into an integer, because it has the same
        *capacity*.
        """
        amount = max(1, self.amount // parts)
        return type(self)(amount, self.multiple, self.unit, capacity=self.capacity)

    def advance(self, step_start: float, counts: int, now: float) -> tuple[float, int]:
        """Return the state at *now*. Call this only if *counts* is 0 or *now* is outside the current step.

        A window without counts starts at *now*. If the clock was set back, the current step is moved to
        *now*, so that no caller waits longer than the length of the window.
        """
        if counts and now < step_start:
            return now, counts
        # Callers get rounded reset times. The step must be over when such a time is reached.
        elapsed = max(1, int((now - step_start) / self.step + 1e-9))
        if elapsed < self.steps:
            counts = (counts << elapsed * self._bits) & ((1 << self.steps * self._bits) - 1)
        else:
            counts = 0
        return (step_start + elapsed * self.step, counts) if counts else (now, 0)

    def usage(self, counts: int, age: float) -> int:  # noqa: ARG002  needed by the sliding window
        """Return the total count when the current step is *age* seconds old."""
        # The sum of the digits in base 2**bits, by casting out (2**bits - 1).
        return counts % self._mask

    def available_at(self, step_start: float, counts: int, cost: int) -> float:  # noqa: ARG002
        """Return the time at which the window will have room for *cost*.

        Call this only if the window has no room now.
        """
        return step_start + self.step

    def refund(self, step_start: float, counts: int, cost: int, when: float) -> int:
        """Return the counts without the *cost* charged at the time *when*, if the charge is still counted."""
        shift = max(0, math.ceil((step_start - when) / self.step)) * self._bits
        return counts - (cost << shift) if (counts >> shift) & self._mask >= cost else counts


class MovingWindow(FixedWindow):
    """Window that never lets more than *amount* pass in any period of its length.

    Charges are counted per quarter of the length. A quarter is discarded only when it lies completely outside
    the window. So up to five quarters are counted, and a charge may count for up to 5/4 of the length.
    """

    steps = 5

    def __init__(self, amount: int, multiple: int, unit: str, *, capacity: int | None = None) -> None:
        super().__init__(amount, multiple, unit, capacity=capacity)
        self.step = self.span / 4

    def available_at(self, step_start: float, counts: int, cost: int) -> float:
        """Return the time at which enough old counts will have been discarded to make room for *cost*."""
        room = self.amount - counts % self._mask
        for index in range((counts.bit_length() - 1) // self._bits, -1, -1):
            room += (counts >> index * self._bits) & self._mask
            if room >= cost:
                return step_start + (self.steps - index) * self.step
        return step_start + self.retention if counts else step_start


class SlidingWindow(FixedWindow):
    """Window that estimates its usage from the current and the previous step, each as long as the window.

    The count of the previous step is weighted by the fraction of that step that still lies in the window.
    This assumes that charges are spread evenly over the step. If they are not, slightly more than *amount*
    may pass within the length of the window.
    """

    steps = 2

    def usage(self, counts: int, age: float) -> int:
        """Return the count of the current step plus the weighted count of the previous step, rounded down."""
        return (counts & self._mask) + int((counts >> self._bits) * (1 - age / self.step))

    def available_at(self, step_start: float, counts: int, cost: int) -> float:
        """Return the time at which a request of *cost* will fit.

        The weight of the previous step falls as time passes, which makes room.
        """
        room, current, previous = self.amount - cost, counts & self._mask, counts >> self._bits
        if previous and current <= room:
            return step_start + self.step * (1 - (room - current) / previous)
        return step_start + self.step * (2 - max(0, room) / current if current else 1)


STRATEGIES = {"fixed": FixedWindow, "sliding": SlidingWindow, "moving": MovingWindow}


@dataclass(frozen=True, eq=False)
class Rate:
    """Rate limit of one or more windows, which are tested and charged together.

    Args:
        windows: Windows, longest first.
        text: Name of the rate in storage keys.
    """

    windows: Sequence[FixedWindow]
    text: str

    @classmethod
    def parse(cls, rate: str, strategy: str = "fixed") -> "Rate":
        """Parse a rate such as ``"60/minute; 10000/day"``.

        Raises:
            ConfigurationError: The rate or the strategy is invalid.
        """
        if strategy not in list(STRATEGIES):
            raise ConfigurationError(f"strategy must be one of {', '.join(STRATEGIES)} (got {strategy!r})")
        windows = parse_windows(rate, strategy)
        return cls(windows, f"{strategy} {'; '.join(map(str, windows))}")

    @cached_property
    def capacity(self) -> int:
        """Largest cost that a single charge may have."""
        return min(window.capacity for window in self.windows)

    @cached_property
    def amounts(self) -> list[int]:
        """Amount of each window."""
        return [window.amount for window in self.windows]

    @cached_property
    def is_fixed(self) -> bool:
        """Whether all windows are fixed windows, whose usage is their count."""
        return all(window.steps == 1 for window in self.windows)

    @cached_property
    def window_plans(self) -> list[tuple[int, FixedWindow, int, float, Callable[[int, float], int] | None]]:
        """Precomputed values for each window, from which its remaining room is computed.

        The items of a tuple are the index of the window's state, the window, its amount, the length of its
        step, and its method `usage`. For a fixed window the method is None, because its usage is its only
        count.
        """
        return [
            (2 * index, window, window.amount, window.step, window.usage if window.steps > 1 else None)
            for index, window in enumerate(self.windows)
        ]

    @cached_property
    def count_indices(self) -> range:
        """Indices of the counts in a state, which has two numbers per window: step start and counts."""
        return range(1, 2 * len(self.windows), 2)

    @cached_property
    def retention(self) -> float:
        """Maximum time for which a charge is counted, in seconds."""
        return max(window.retention for window in self.windows)

    def share(self, parts: int) -> "Rate":
        """Return a copy in which the amount of each window is divided by *parts*; see `FixedWindow.share`."""
        return Rate([window.share(parts) for window in self.windows], self.text)


def parse_windows(rate: str, strategy: str = "fixed", *, option: str = "rate") -> list[FixedWindow]:
    """Return the windows of ``"60/minute; 10000/day"``, longest first.

    Raises:
        ConfigurationError: A window is malformed, or it allows no requests. The message quotes the window.
    """
    parts = _SEPARATORS.split(rate) if isinstance(rate, str) else []
    try:
        windows = [_parse_window(part, strategy) for part in parts or [""]]
    except ValueError as error:
        raise ConfigurationError(
            f'{option} must be one or more windows such as "60/minute; 10000/day" (got {rate!r}): {error}'
        ) from None
    return sorted(windows, key=lambda window: -window.span)


def _parse_window(part: str, strategy: str) -> FixedWindow:
    match = _WINDOW.fullmatch(part)
    if match is None:
        raise ValueError(f"{part.strip()!r} is not a window")
    amount, multiple, unit = int(match[1]), int(match[2] or 1), match[3].lower().removesuffix("s")
    if unit not in _units():
        raise ValueError(f"{match[3]!r} is not a unit: use {', '.join(_units())}")
    if not amount or not multiple:
        raise ValueError(f"{part.strip()!r} allows no requests")
    if multiple * _units()[unit] > _MAX_YEARS * _units()["year"]:
        raise ValueError(f"{part.strip()!r} is longer than {_MAX_YEARS} years")
    return STRATEGIES[strategy](amount, multiple, unit)
