"""Counting in Redis, for every process and machine; and alone while it does not answer."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

from ..errors import StoreError
from ..flow import Flow
from .memory import MemoryLimiter
from .redis import RedisStore, Unavailable
from .scripts import GIVE_BACK, HIT
from .verdict import Verdict
from .windows import FixedWindow, Rate

__all__ = ["SharedLimiter"]


class SharedLimiter:
    """Tests all windows of a rate and charges them together, in one step for everyone who counts there.

    What this process lets pass is counted here too. While Redis does not answer, this process goes
    on from these counts, at its share of the rate; and when it answers again, a rate holds here as
    well as there for as long as its longest window: Redis knows nothing of what passed meanwhile,
    and may have lost the rest. So this process never lets more pass than the rate.

    Args:
        rate: the rate nearly everybody has.
        store: where the counts are.
        name: of this limit among those counted there.
        clock: gives the time in seconds since the epoch; by default the server's.
        share: among how many processes a rate is divided while Redis does not answer.
        closed: whether everything is refused then, instead.
    """

    def __init__(
        self,
        rate: Rate,
        store: RedisStore,
        *,
        name: str,
        clock: Callable[[], float] | None = None,
        share: int = 1,
        closed: bool = False,
    ) -> None:
        self._store = store
        self._breaker = store.breaker
        self._name = name
        self._clock = clock
        self._share = share
        self._closed = closed
        self._local = MemoryLimiter(rate, clock=clock or time.time)

    @property
    def outages(self) -> int:
        """How often Redis has stopped answering."""
        return self._breaker.outages

    def hit(self, rate: Rate, identity: str, cost: int = 1) -> Verdict | Flow[Verdict]:
        """Charge *cost* to *identity*, if every window of *rate* has room for it.

        Raises:
            StoreError: Redis does not answer, and nothing is to pass without it.
        """
        return (
            self._hit(rate, identity, cost) if self._breaker.passes() else self._alone(rate, identity, cost)
        )

    def _hit(self, rate: Rate, identity: str, cost: int) -> Flow[Verdict]:
        here = self._local.hit(rate, identity, cost)
        now = "" if self._clock is None else repr(self._clock())
        windows = [value for window in rate.windows for value in (window.amount, window.step, window.steps)]
        kept = math.ceil(rate.kept * 1000)
        try:
            reply = yield from self._store.run(HIT, self._key(rate, identity), now, cost, kept, *windows)
        except Unavailable:
            if here.passes:
                self._local.give_back(rate, identity, cost, here.now)
            return self._alone(rate, identity, cost)
        there = _read(reply, rate, cost)
        if here.passes and not there.passes:
            self._local.give_back(rate, identity, cost, here.now)
        elif there.passes and not here.passes and self._doubtful(rate):
            # This was the call that found Redis answering again.
            yield from self._give_back_there(rate, identity, cost, there.now)
            return here
        return there

    def give_back(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        """Take back the *cost* charged at *when*, as far as it is still counted."""
        self._local.give_back(rate, identity, cost, when)
        if self._breaker.passes():
            yield from self._give_back_there(rate, identity, cost, when)

    def _give_back_there(self, rate: Rate, identity: str, cost: int, when: float) -> Flow[None]:
        windows = [value for window in rate.windows for value in (window.step, window.steps)]
        with contextlib.suppress(Unavailable):
            yield from self._store.run(GIVE_BACK, self._key(rate, identity), cost, repr(when), *windows)

    def _alone(self, rate: Rate, identity: str, cost: int) -> Verdict:
        if self._closed:
            raise StoreError
        return self._local.hit(_share(rate, self._share), identity, cost)

    def _doubtful(self, rate: Rate) -> bool:
        return not self._breaker.open and self._breaker.clock() - self._breaker.mended < rate.kept

    def _key(self, rate: Rate, identity: str) -> str:
        return f"modelgate:{self._name}:{rate.text}:{identity}"


@lru_cache(maxsize=1024)
def _share(rate: Rate, parts: int) -> Rate:
    return rate.share(parts)


def _read(reply: list[bytes], rate: Rate, cost: int) -> Verdict:
    passes, now, *rest = reply
    told = iter(rest)
    free = [int(value) for value in islice(told, len(rate.windows))]
    numbers = [number for window in rate.windows for number in _numbers(window, told)]
    return Verdict(rate, passes == b"1", free, (*numbers,), float(now), cost)


def _numbers(window: FixedWindow, told: Iterator[bytes]) -> tuple[float, int]:
    begun = float(next(told))
    return begun, window.ring(int(value) for value in islice(told, window.steps))
