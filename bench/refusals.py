"""Measure how long it takes to reject a key while all threads are busy and predictions queue.

200 clients keep a model of 50 ms busy on one event loop, while a caller with a wrong key sends a request every
5 ms. In process: no server, no socket. Run::

    python bench/refusals.py
"""

import asyncio
import time
from typing import Any

import msgspec
import numpy as np

from modelgate import Deployment, Gate, Schema, Table

KEY = "a-key-for-the-benchmark"
CLIENTS, SECONDS = 200, 5.0


def slow(table: Table) -> Any:
    """Take 50 ms without using the CPU."""
    time.sleep(0.05)
    return np.zeros(len(table))


async def send_request(app: Any, key: str) -> int:
    """Send one request and return its status."""
    body = msgspec.json.encode({"api_key": key, "input_data": {"x": 1.0}})
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/predict",
        "headers": [],
        "client": ("192.0.2.1", 1),
    }
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


async def measure() -> None:
    """Print the quantiles."""
    gate = Gate([Deployment("slow", slow, schema=Schema.of(x=float))], keys={KEY: "slow"})
    end = time.perf_counter() + SECONDS
    served, rejected = [], []

    async def client() -> None:
        while time.perf_counter() < end:
            start = time.perf_counter()
            assert await send_request(gate.asgi, KEY) == 200
            served.append((time.perf_counter() - start) * 1e3)

    async def stranger() -> None:
        while time.perf_counter() < end:
            start = time.perf_counter()
            assert await send_request(gate.asgi, "a-wrong-key-of-some-length") == 401
            rejected.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(0.005)

    await asyncio.gather(stranger(), *(client() for _ in range(CLIENTS)))
    print(f"{'ms':12}{'count':>8}{'p50':>10}{'p99':>10}{'goal p99':>10}")
    for name, times, goal in (("served", served, ""), ("401", rejected, "5")):
        p50, p99 = np.quantile(times, [0.5, 0.99])
        print(f"{name:12}{len(times):8}{p50:10.3f}{p99:10.3f}{goal:>10}")


if __name__ == "__main__":
    asyncio.run(measure())
