"""Compare rate limits with the library `limits`, and measure other layers.

In process, in CPU time. A gate checks and charges two windows together; `limits` hits one after the other.
Memory is what Python allocates, including the text of the identity. Run::

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
from modelgate.inference.model_metrics import ModelMetrics
from modelgate.layers import ServerTiming
from modelgate.limiting import MemoryLimiter, Rate
from modelgate.testing import FakeClock, request

HITS, ROUNDS, IDENTITIES, ADDRESSES = 2_000, 25, 100_000, 10_000_000
SMALL, LARGE = "1000000/minute; 10000000/day", "1000000000/minute; 10000000000/day"


def compare(*hits: Callable[[], object]) -> list[float]:
    """Return the microseconds of CPU per call of each function; the functions take turns."""
    spent: list[list[float]] = [[] for _ in hits]
    for turn in range(ROUNDS + 1):
        for hit, times in zip(hits, spent, strict=True):
            start = time.process_time()
            for _ in range(HITS):
                hit()
            if turn:  # The first turn warms up.
                times.append((time.process_time() - start) / HITS * 1e6)
    return [statistics.median(times) for times in spent]


def our_hit(rate: str, strategy: str, before: int = 0) -> Callable[[], object]:
    """Return a hit on a limiter of modelgate, after *before* others."""
    parsed = Rate.parse(rate, strategy)
    limiter = MemoryLimiter(parsed)
    for _ in range(before):
        limiter.hit(parsed, "caller")
    return lambda: limiter.hit(parsed, "caller")


def their_hit(rate: str, strategy: type[RateLimiter], before: int = 0) -> Callable[[], object]:
    """Return a hit on a limiter of `limits`, after *before* others."""
    windows, limiter = library.parse_many(rate), strategy(MemoryStorage())

    def hit() -> bool:
        return all(limiter.hit(window, "caller") for window in windows)

    for _ in range(before):
        hit()
    return hit


def layer_call() -> Callable[[], object]:
    """Return a request through the whole layer with its headers, around a trivial handler."""
    layer, http_request = RateLimit(LARGE), request()

    def answer(request: Request) -> Flow[Response]:
        yield from ()
        return Response(200)

    return lambda: drive(layer(http_request, answer))


def layer_costs() -> dict[str, float]:
    """Return the microseconds of CPU of other layers, above a handler that waits once."""
    http_request, response, wait = request(), Response(200), Wait(int, asyncio.Event().wait)
    metrics = ModelMetrics()

    def answer(request: Request) -> Flow[Response]:
        yield wait
        return response

    layers = {
        "Metrics": Metrics(),
        "Deadline, a wait within": Deadline(1e6),
        "ServerTiming, unasked": ServerTiming(),
    }
    bare, *layered = compare(
        lambda: drive(answer(http_request)),
        *(lambda layer=layer: drive(layer(http_request, answer)) for layer in layers.values()),
    )
    costs = {name: spent - bare for name, spent in zip(layers, layered, strict=True)}
    call, counted = compare(int, lambda: metrics.measure("idle", 1, int))
    return {**costs, "a call of a model, counted": counted - call}


def bytes_per_key(strategy: str, rounds: int) -> float:
    """Return the memory per identity of twelve characters, after *rounds* steps of both windows."""
    clock, rate = FakeClock(), Rate.parse("10000/minute; 100000/day", strategy)
    tracemalloc.start()
    limiter = MemoryLimiter(rate, clock=clock, max_buckets=2 * IDENTITIES)
    for round_ in range(rounds):
        # The first half are a quarter of a day apart, the others a quarter of a minute.
        clock.advance(21_600 if round_ < rounds // 2 else 15)
        for index in range(IDENTITIES):
            limiter.hit(rate, f"{index:012x}", 900)
    used = tracemalloc.get_traced_memory()[0] / len(limiter)
    tracemalloc.stop()
    return used


def flood_limiter() -> tuple[int, float, float]:
    """Send hits from many addresses; return the number stored, the peak memory in MiB and the us per hit."""
    rate = Rate.parse("60/minute; 10000/day")
    limiter = MemoryLimiter(rate)
    addresses = map("{:x}:{:x}::/64".format, itertools.count(0x2001_0000), itertools.count())
    tracemalloc.start()
    for address in itertools.islice(addresses, 2 * IDENTITIES):
        limiter.hit(rate, address)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    start = time.process_time()
    for address in itertools.islice(addresses, ADDRESSES - 2 * IDENTITIES):
        limiter.hit(rate, address)
    spent = (time.process_time() - start) / (ADDRESSES - 2 * IDENTITIES) * 1e6
    return len(limiter), peak, spent


def main() -> None:
    """Print the tables."""
    rows = {
        "fixed": (our_hit(SMALL, "fixed"), their_hit(SMALL, FixedWindowRateLimiter)),
        "moving": (our_hit(SMALL, "moving"), their_hit(SMALL, MovingWindowRateLimiter)),
        "moving, after a million hits*": (
            our_hit(LARGE, "moving", 1_000_000),
            their_hit(LARGE, MovingWindowRateLimiter, 50_000),  # A million take minutes.
        ),
        "sliding": (our_hit(SMALL, "sliding"), their_hit(SMALL, SlidingWindowCounterRateLimiter)),
    }
    print(f"{'us of CPU a hit, two windows':34}{'ours':>8}{'limits':>8}{'goal':>8}")
    for name, hits in rows.items():
        first, second = compare(*hits)
        print(f"{name:34}{first:8.2f}{second:8.2f}{2.5:8.1f}")
    print("* limits: after fifty thousand")
    print(f"{'the layer, headers and all':34}{compare(layer_call())[0]:8.2f}")
    for name, spent in layer_costs().items():
        print(f"{name:34}{spent:8.2f}")
    print(f"\n{'bytes a key, two windows':34}{'new':>8}{'old':>8}{'goal':>8}")
    for strategy in ("fixed", "sliding", "moving"):
        sizes = [bytes_per_key(strategy, rounds) for rounds in (1, 10)]
        print(f"{strategy:34}{sizes[0]:8.0f}{sizes[1]:8.0f}{300:8}")
    stored, peak, spent = flood_limiter()
    print(f"\n{ADDRESSES:,} addresses: {stored:,} stored, at most {peak:.0f} MiB, {spent:.2f} us of CPU each")


if __name__ == "__main__":
    main()
