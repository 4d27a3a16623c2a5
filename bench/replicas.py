"""Simulate 1 to 1,000 replicas that share a rate limit in Redis, with the cost of a decision as measured here.

Prints for each number of replicas how busy Redis is, how many shards it needs, and what leases change::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/replicas.py [--rate 200] [--callers 10000]

- One Redis core answers decisions in order of arrival, each in the measured CPU time. Requests are Poisson.
- Callers are Zipf distributed: the second one sends half as many requests as the first.
- Redis Cluster places each caller in one shard. A shard is full at 70 %.
- Blocks are a tenth of the limit, divided by the replicas. The limit is twice what the busiest caller sends in
  a minute, so that all requests pass.
- "Unused" is the share of the limit left in leases when a caller, spread over all replicas, is first rejected.
"""

import argparse

import numpy as np

from sizing import RATES, make_limit, measure_cost, run_redis

REPLICAS = (1, 3, 10, 30, 100, 300, 1_000)
ARRIVALS, MAX_SHARDS, FULL, WITHHELD, WINDOW = 400_000, 1_000, 0.7, 0.1, 60
BUSY = (0.5, 0.7, 0.9, 0.95)
random = np.random.default_rng(0)


def simulate_wait(load: float, service: float) -> float:
    """Return the 99th percentile of the wait for one server, in seconds.

    Args:
        load: Decisions per second.
        service: Time of one decision, in seconds.
    """
    # Lindley's recursion: a random walk above its lowest point so far.
    walk = np.cumsum(service - random.exponential(1 / load, ARRIVALS))
    waits = walk - np.minimum(np.minimum.accumulate(walk), 0)
    return float(np.quantile(waits[ARRIVALS // 2 :], 0.99))


def count_shards(loads: np.ndarray, service: float) -> int | None:
    """Return the number of shards of which the busiest is not full; None if no number suffices.

    Args:
        loads: Decisions per second of each caller.
        service: Time of one decision, in seconds.
    """
    places = random.random(len(loads))
    for shards in range(1, MAX_SHARDS + 1):
        busiest = np.bincount((places * shards).astype(int), loads).max()
        if busiest * service <= FULL:
            return shards
    return None


def count_round_trips(loads: np.ndarray, replicas: int, block: int) -> float:
    """Return the decisions of Redis per second if each replica leases blocks for the callers that it sees.

    Args:
        loads: Requests per second of each caller.
        replicas: Replicas over which a caller is spread.
        block: Size of a block.
    """
    trips = 0.0
    for _ in range(replicas):
        requests = random.poisson(loads * WINDOW / replicas)
        trips += np.ceil(requests / max(1, block)).sum()
    return trips / WINDOW


def simulate_unused(replicas: int, limit: int, block: int) -> float:
    """Return the share of *limit* that is left in leases when a caller is first rejected."""
    left, room = np.zeros(replicas, int), limit
    while True:
        for replica in random.integers(replicas, size=10_000):
            if not left[replica]:
                if not room:
                    return float(left.sum() / limit)
                left[replica] = min(block, room)
                room -= left[replica]
            left[replica] -= 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=float, default=200, help="requests per second of a replica")
    parser.add_argument("--callers", type=int, default=10_000)
    options = parser.parse_args()
    with run_redis() as uri:
        service = measure_cost(uri, make_limit(uri, RATES["two windows"]), concurrent=16, count=5_000).cpu
    weights = 1 / np.arange(1, options.callers + 1)
    weights /= weights.sum()
    print(
        f"a decision takes {service * 1e6:.1f} us of Redis: one core is full at {FULL / service:,.0f} a second"
    )
    waits = ", ".join(
        f"{simulate_wait(busy / service, service) / service:.0f} at {busy:.0%}" for busy in BUSY
    )
    print(f"99th percentile of the wait, in decisions: {waits}")
    print(f"the busiest of {options.callers:,} callers sends {weights[0]:.0%} of all requests\n")
    print(f"{'':20}{'each request in Redis':>32}{'leases: cores of Redis':>32}{'':8}")
    heads = ("replicas", "requests/s", "cores", "p99 wait", "shards", "all replicas", "3 of them", "unused")
    print(
        "".join(f"{head:>{width}}" for head, width in zip(heads, (8, 12, 8, 12, 12, 16, 16, 8), strict=True))
    )
    for replicas in REPLICAS:
        loads = weights * options.rate * replicas
        load, cores = loads.sum(), loads.sum() * service
        wait = f"{simulate_wait(load, service) * 1e3:.2f} ms" if cores < 1 else "no answer"
        shards = count_shards(loads, service)
        limit = int(2 * loads[0] * WINDOW)
        block = int(limit * WITHHELD / replicas)
        leased = [
            count_round_trips(loads, spread, block) * service for spread in (replicas, min(3, replicas))
        ]
        unused = simulate_unused(replicas, 100 * replicas, 10)
        print(
            f"{replicas:8,}{load:12,.0f}{cores:8.2f}{wait:>12}{shards or 'one caller':>12}"
            f"{leased[0]:16.4f}{leased[1]:16.4f}{unused:8.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
