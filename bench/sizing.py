"""Measure what a rate limit in Redis costs: scripts, bytes, CPU of Redis, and the time it adds to a request.

Starts redis-server on a free port. "A second" is the number of decisions that fill one core of Redis::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/sizing.py
"""

import asyncio
import itertools
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import redis

from modelgate import RateLimit, adrive, drive
from modelgate.testing import StubHandler, request
from overhead import make_gate, send_asgi, send_wsgi

DECISIONS, ROUNDS, REQUESTS = 10_000, 9, 480
RATES = {"one window": "1000000/minute", "two windows": "1000000/minute; 10000000/day"}
_names = itertools.count()


class Cost(NamedTuple):
    """Cost of one decision on the server.

    Args:
        scripts: Scripts that Redis ran.
        commands: Commands that Redis ran, with those of the scripts.
        received: Bytes that Redis received.
        sent: Bytes that Redis sent.
        cpu: CPU time of Redis, in seconds.
    """

    scripts: float
    commands: float
    received: float
    sent: float
    cpu: float


@contextmanager
def run_redis() -> Iterator[str]:
    """Run a Redis server without persistence, and return its URI."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            uri = f"redis://127.0.0.1:{port}/0?socket_timeout=60&socket_connect_timeout=60"
            with redis.Redis(port=int(port)) as client:
                while server.poll() is None:
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        time.sleep(0.01)
            yield uri
        finally:
            server.kill()
            server.wait()


def make_limit(uri: str, rate: str, **options: Any) -> RateLimit:
    """Return a limit with a count of its own."""
    return RateLimit(rate, storage=uri, name=f"bench {next(_names)}", **options)


def send(limit: RateLimit, count: int, concurrent: int = 1) -> None:
    """Send *count* requests through *limit*: from a thread, or *concurrent* ones at a time on an event loop."""
    handler = StubHandler()
    if concurrent == 1:
        for _ in range(count):
            drive(limit(request(), handler))
        return

    async def send_all() -> None:
        for _ in range(count // concurrent):
            await asyncio.gather(*(adrive(limit(request(), handler)) for _ in range(concurrent)))

    asyncio.run(send_all())


def measure_cost(uri: str, limit: RateLimit, concurrent: int = 1, count: int = DECISIONS) -> Cost:
    """Return the cost of one decision of *limit*, the mean of *count*."""
    port = uri.partition("127.0.0.1:")[2].partition("/")[0]
    with redis.Redis(port=int(port)) as client:

        def read() -> tuple[float, ...]:
            info: Mapping[str, Any] = client.info("everything")
            scripts = info.get("cmdstat_evalsha", {}).get("calls", 0)
            cpu = info["used_cpu_user"] + info["used_cpu_sys"]
            received, sent = info["total_net_input_bytes"], info["total_net_output_bytes"]
            return scripts, info["total_commands_processed"], received, sent, cpu

        send(limit, concurrent)
        client.info("everything")
        idle = read()
        before = read()  # What reading itself costs is the difference to *idle*.
        send(limit, count, concurrent)
        after = read()
    own = [second - first for first, second in zip(idle, before, strict=True)]
    spent = [last - first for first, last in zip(before, after, strict=True)]
    return Cost(*((all_ - reading) / count for all_, reading in zip(spent, own, strict=True)))


def measure_round_trip(uri: str, run: Callable[[], object]) -> float:
    """Return the time that *run* takes, as a multiple of a PING of the same server; they take turns."""
    client = redis.Redis.from_url(uri)
    pings: list[float] = []
    runs: list[float] = []
    for _ in range(3_000):
        for function, times in ((client.ping, pings), (run, runs)):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    client.close()
    ratio: float = statistics.median(runs) / statistics.median(pings)
    return ratio


def print_costs(uri: str) -> None:
    """Print what a decision costs Redis."""
    columns = f"{'scripts':>9}{'commands':>9}{'received':>9}{'sent':>7}{'us of CPU':>10}{'a second':>10}"
    print(f"{'one decision':44}{columns}")
    for name, rate in RATES.items():
        for concurrent, lease in ((1, None), (16, None), (1, 1e-5), (1, 1e-4), (16, 1e-4)):
            cost = measure_cost(uri, make_limit(uri, rate, lease=lease), concurrent)
            block = "" if lease is None else f", blocks of {lease * 1_000_000:.0f}"
            case = f"{name}, {concurrent} at a time{block}"
            print(
                f"{case:44}{cost.scripts:9.3f}{cost.commands:9.3f}{cost.received:9.1f}{cost.sent:7.1f}"
                f"{cost.cpu * 1e6:10.1f}{1 / cost.cpu:10,.0f}",
                flush=True,
            )


def print_gate(uri: str) -> None:
    """Print what counting in Redis adds to a request of the gate: CPU time and time, in the fastest round."""
    rate = RATES["two windows"]
    limits: dict[str, Callable[[], RateLimit]] = {
        "memory": lambda: RateLimit(rate),
        "Redis": lambda: make_limit(uri, rate),
        "Redis, blocks of 10": lambda: make_limit(uri, rate, lease=1e-5),
        "Redis, blocks of 100": lambda: make_limit(uri, rate, lease=1e-4),
    }
    print(f"\n{'a request of the gate, counted in':44}{'us of CPU':>10}{'more':>8}{'us':>8}{'more':>8}")
    servers: dict[str, Callable[[Any, int], None]] = {
        "WSGI": send_wsgi,
        "ASGI, 16 at a time": partial(send_asgi, concurrent=16),
    }
    for server, send_requests in servers.items():
        interface = server[:4].lower()
        apps = {name: getattr(make_gate(limits=limit()), interface) for name, limit in limits.items()}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in apps}
        for turn in range(ROUNDS + 1):
            for name, app in apps.items():
                cpu, wall = time.process_time(), time.perf_counter()
                send_requests(app, REQUESTS)
                if turn:  # The first turn warms up.
                    spent = time.process_time() - cpu, time.perf_counter() - wall
                    times[name].append((spent[0] / REQUESTS * 1e6, spent[1] / REQUESTS * 1e6))
        fastest = {name: [*map(min, zip(*spent, strict=True))] for name, spent in times.items()}
        base = fastest["memory"]
        for name, (used, took) in fastest.items():
            case = f"{server}, {name}"
            print(f"{case:44}{used:10.1f}{used - base[0]:8.1f}{took:8.1f}{took - base[1]:8.1f}", flush=True)
    limit, handler = make_limit(uri, rate), StubHandler()
    ratio = measure_round_trip(uri, lambda: drive(limit(request(), handler)))
    print(f"\na decision takes {ratio:.2f} times as long as a PING through redis-py")


def main() -> None:
    """Print the tables."""
    with run_redis() as uri:
        print_costs(uri)
        print_gate(uri)


if __name__ == "__main__":
    main()
