"""Compare concurrent requests with batching on and off.

In process, under ASGI, in wall time. Both gates take turns in one run; figures are the median of the rounds. Run with BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/batching.py
"""

import asyncio
import statistics
import time
from typing import Any

import msgspec
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelgate import Deployment, Gate

ROUNDS, CONCURRENT, SINGLE = 7, 64, 40


def models() -> dict[str, tuple[Any, Any]]:
    """Return a light and a heavy model, each with a row."""
    cancer, target = load_breast_cancer(return_X_y=True)
    diabetes, progression = load_diabetes(return_X_y=True)
    return {
        "logistic, 30 columns": (
            make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer, target),
            cancer[0],
        ),
        "forest of 100": (RandomForestRegressor(100, random_state=0).fit(diabetes, progression), diabetes[0]),
    }


def make_timer(model: Any, row: Any, batch: bool) -> Any:
    """Return a function that sends concurrent requests to a gate without plans and returns seconds per request."""
    gate = Gate([Deployment("model", model, batch=batch, plans=False)], keys="open", limits="1000000000/day")
    body = msgspec.json.encode(row.tolist())
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/simple/model",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    async def time_requests(count: int, rounds: int) -> float:
        start = time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*(gate.asgi(dict(scope), receive, send) for _ in range(count)))
        return (time.perf_counter() - start) / (count * rounds)

    return time_requests


async def compare(model: Any, row: Any) -> tuple[float, float]:
    """Return the speed-up by batching of 64 concurrent requests, and the relative time of a single one."""
    off, on = make_timer(model, row, False), make_timer(model, row, True)
    times: dict[str, list[float]] = {"off": [], "on": [], "off alone": [], "on alone": []}
    for _ in range(ROUNDS):
        for name, time_requests in (("off", off), ("on", on)):
            times[name].append(await time_requests(CONCURRENT, 2))
            times[f"{name} alone"].append(await time_requests(1, SINGLE))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return medians["off"] / medians["on"], medians["on alone"] / medians["off alone"]


def main() -> None:
    """Print the table."""
    print(f"{'batching on against off':32} {'64 at once':>12} {'one alone':>12}")
    for name, (model, row) in models().items():
        gain, alone = asyncio.run(compare(model, row))
        print(f"{name:32} {f'{gain:.1f} x':>12} {f'{alone:.2f}':>12}")


if __name__ == "__main__":
    main()
