"""What a limit costs, beside the library `limits` called directly, and what else a gate does, in one run.

In process, in CPU time. Two windows are tested and charged together; `limits`, which cannot do that,
hits one after the other. Memory is what Python asks for, the identity's own text with it. Run::

    python bench/layers.py
"""

import asyncio
import itertools
import statistics
import time
import tracemalloc
from collections.abc import Callable

import limits as library
from limits.storage import MemoryStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from modelgate import Deadline, Flow, Metrics, RateLimit, Request, Response, Wait, drive
from modelgate.layers import ServerTiming
from modelgate.limiting import MemoryLimiter, Rate
from modelgate.scoring.tally import Tally
from modelgate.testing import Clock, request

HITS, ROUNDS, IDENTITIES, ADDRESSES = 2_000, 25, 100_000, 10_000_000
SMALL, LARGE = "1000000/minute; 10000000/day", "1000000000/minute; 10000000000/day"


def microseconds(*hits: Callable[[], object]) -> list[float]:
    """Of CPU a call of each, taking turns."""
    spent: list[list[float]] = [[] for _ in hits]
    for turn in range(ROUNDS + 1):
        for hit, times in zip(hits, spent, strict=True):
            start = time.process_time()
            for _ in range(HITS):
                hit()
            if turn:  # the first turn warms up
                times.append((time.process_time() - start) / HITS * 1e6)
    return [statistics.median(times) for times in spent]


def ours(rate: str, strategy: str, before: int = 0) -> Callable[[], object]:
    """A hit on our limiter, after so many others."""
    parsed = Rate.parse(rate, strategy)
    limiter = MemoryLimiter(parsed)
    for _ in range(before):
        limiter.hit(parsed, "caller")
    return lambda: limiter.hit(parsed, "caller")


def theirs(rate: str, strategy: type[RateLimiter], before: int = 0) -> Callable[[], object]:
    """The same with `limits`."""
    windows, limiter = library.parse_many(rate), strategy(MemoryStorage())

    def hit() -> bool:
        return all(limiter.hit(window, "caller") for window in windows)

    for _ in range(before):
        hit()
    return hit


def the_layer() -> Callable[[], object]:
    """A request through the whole layer, headers and all, with a handler that only answers."""
    layer, asked = RateLimit(LARGE), request()

    def answer(request: Request) -> Flow[Response]:
        yield from ()
        return Response(200)

    return lambda: drive(layer(asked, answer))


def operations() -> dict[str, float]:
    """Microseconds of CPU of what a gate does beside, above a handler that waits once and answers."""
    asked, response, wait, tally = request(), Response(200), Wait(int, asyncio.Event().wait), Tally()

    def answer(request: Request) -> Flow[Response]:
        yield wait
        return response

    around = {
        "Metrics": Metrics(),
        "Deadline, a wait within": Deadline(1e6),
        "ServerTiming, unasked": ServerTiming(),
    }
    bare, *layered = microseconds(
        lambda: drive(answer(asked)),
        *(lambda layer=layer: drive(layer(asked, answer)) for layer in around.values()),
    )
    costs = {name: spent - bare for name, spent in zip(around, layered, strict=True)}
    call, counted = microseconds(int, lambda: tally.timed("idle", 1, int))
    return {**costs, "a call of a model, counted": counted - call}


def bytes_a_key(strategy: str, rounds: int) -> float:
    """Of memory, for identities of twelve characters that have asked in so many steps of both windows."""
    clock, rate = Clock(), Rate.parse("10000/minute; 100000/day", strategy)
    tracemalloc.start()
    limiter = MemoryLimiter(rate, clock=clock, max_buckets=2 * IDENTITIES)
    for round_ in range(rounds):
        # The first few a quarter of a day apart, the last a quarter of a minute.
        clock.advance(21_600 if round_ < rounds // 2 else 15)
        for at in range(IDENTITIES):
            limiter.hit(rate, f"{at:012x}", 900)
    used = tracemalloc.get_traced_memory()[0] / len(limiter)
    tracemalloc.stop()
    return used


def flood() -> tuple[int, float, float]:
    """So many different addresses: how many are kept, the most memory, and the time of a hit."""
    rate = Rate.parse("60/minute; 10000/day")
    limiter = MemoryLimiter(rate)
    addresses = map("{:x}:{:x}::/64".format, itertools.count(0x2001_0000), itertools.count())
    tracemalloc.start()
    for address in itertools.islice(addresses, 2 * IDENTITIES):
        limiter.hit(rate, address)
    most = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    start = time.process_time()
    for address in itertools.islice(addresses, ADDRESSES - 2 * IDENTITIES):
        limiter.hit(rate, address)
    spent = (time.process_time() - start) / (ADDRESSES - 2 * IDENTITIES) * 1e6
    return len(limiter), most, spent


def main() -> None:
    """Print the tables."""
    rows = {
        "fixed": (ours(SMALL, "fixed"), theirs(SMALL, FixedWindowRateLimiter)),
        "moving": (ours(SMALL, "moving"), theirs(SMALL, MovingWindowRateLimiter)),
        "moving, after a million hits*": (
            ours(LARGE, "moving", 1_000_000),
            theirs(LARGE, MovingWindowRateLimiter, 50_000),  # a million take it minutes
        ),
        "sliding": (ours(SMALL, "sliding"), theirs(SMALL, SlidingWindowCounterRateLimiter)),
    }
    print(f"{'us of CPU a hit, two windows':34}{'ours':>8}{'limits':>8}{'goal':>8}")
    for name, hits in rows.items():
        first, second = microseconds(*hits)
        print(f"{name:34}{first:8.2f}{second:8.2f}{2.5:8.1f}")
    print("* limits: after fifty thousand")
    print(f"{'the layer, headers and all':34}{microseconds(the_layer())[0]:8.2f}")
    for name, spent in operations().items():
        print(f"{name:34}{spent:8.2f}")
    print(f"\n{'bytes a key, two windows':34}{'new':>8}{'old':>8}{'goal':>8}")
    for strategy in ("fixed", "sliding", "moving"):
        told = [bytes_a_key(strategy, rounds) for rounds in (1, 10)]
        print(f"{strategy:34}{told[0]:8.0f}{told[1]:8.0f}{300:8}")
    kept, most, spent = flood()
    print(f"\n{ADDRESSES:,} addresses: {kept:,} kept, at most {most:.0f} MiB, {spent:.2f} us of CPU each")


if __name__ == "__main__":
    main()
