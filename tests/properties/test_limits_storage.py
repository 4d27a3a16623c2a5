"""`LimitsCounter` with the memory storages of `limits`, compared with our own limiter."""

import asyncio
from itertools import count

import limits.aio.storage
import limits.storage
from hypothesis import given
from hypothesis import strategies as st

from modelgate import adrive, drive
from modelgate.limiting import MemoryLimiter, Rate
from modelgate.limiting.limits_storage import LimitsCounter, LimitsStorage


class Memory(limits.storage.MemoryStorage):
    """Storage registered with `limits`, as an app may do."""

    STORAGE_SCHEME = "test-memory"


class AsyncMemory(limits.aio.storage.MemoryStorage):
    """The same storage for event loops."""

    STORAGE_SCHEME = "async+test-memory"


RATES = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(
    # No window ends while the test runs.
    lambda amounts: "; ".join(f"{amount}/{index + 2} months" for index, amount in enumerate(amounts))
)
SCRIPTS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 14)), max_size=30)
NAMES = count()


async def run_on_loop(flows):
    return [await adrive(flow()) for flow in flows]


@given(
    rate=RATES, strategy=st.sampled_from(["fixed", "sliding", "moving"]), script=SCRIPTS, loop=st.booleans()
)
def test_limits_counter_agrees_with_memory_limiter(rate, strategy, script, loop):
    """Without contention, and for several windows: a request that one rejects is charged to none."""
    rate = Rate.parse(rate, strategy)
    own, counter = MemoryLimiter(rate), LimitsCounter(LimitsStorage("test-memory://"), rate, str(next(NAMES)))
    flows = [lambda caller=caller, cost=cost: counter.hit(rate, caller, cost) for caller, cost in script]
    decisions = asyncio.run(run_on_loop(flows)) if loop else [drive(flow()) for flow in flows]

    indices = range(len(rate.windows))
    for (caller, cost), decision in zip(script, decisions, strict=True):
        expected = own.hit(rate, caller, cost)
        assert expected.allowed == decision.allowed
        assert [expected.remaining(i) for i in indices] == [decision.remaining(i) for i in indices]
        assert all(decision.now <= decision.reset(i) for i in indices)


@given(amount=st.integers(1, 9), costs=st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_limits_counter_limits_concurrent_requests(amount, costs):
    rate = Rate.parse(f"{amount}/2 months; {amount + 3}/year")
    counter = LimitsCounter(LimitsStorage("test-memory://"), rate, str(next(NAMES)))

    async def hit_concurrently():
        return await asyncio.gather(*(adrive(counter.hit(rate, "a", cost)) for cost in costs))

    decisions = asyncio.run(hit_concurrently())

    assert sum(decision.cost for decision in decisions if decision.allowed) <= amount
