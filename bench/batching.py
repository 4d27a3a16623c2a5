"""What batching is worth: many requests at once against a gate that scores them one by one.

In process, under ASGI, in wall time: both gates take turns in one run, and a figure is the median
of the rounds. Run with BLAS and OpenMP threads pinned::

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

ROUNDS, AT_ONCE, ALONE = 7, 64, 40


def models() -> dict[str, tuple[Any, Any]]:
    """A light and a heavy model, each with a row."""
    cancer, target = load_breast_cancer(return_X_y=True)
    diabetes, progression = load_diabetes(return_X_y=True)
    return {
        "logistic, 30 columns": (
            make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer, target),
            cancer[0],
        ),
        "forest of 100": (RandomForestRegressor(100, random_state=0).fit(diabetes, progression), diabetes[0]),
    }


def asker(model: Any, row: Any, batch: bool) -> Any:
    """What asks a gate around *model*, without its plan, so many times at once, and gives the seconds it took."""
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

    async def ask(count: int, rounds: int) -> float:
        start = time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*(gate.asgi(dict(scope), receive, send) for _ in range(count)))
        return (time.perf_counter() - start) / (count * rounds)

    return ask


async def compare(model: Any, row: Any) -> tuple[float, float]:
    """How many times as fast batching is with 64 requests at once; how long one alone takes, against without."""
    off, on = asker(model, row, False), asker(model, row, True)
    times: dict[str, list[float]] = {"off": [], "on": [], "off alone": [], "on alone": []}
    for _ in range(ROUNDS):
        for name, ask in (("off", off), ("on", on)):
            times[name].append(await ask(AT_ONCE, 2))
            times[f"{name} alone"].append(await ask(1, ALONE))
    middle = {name: statistics.median(told) for name, told in times.items()}
    return middle["off"] / middle["on"], middle["on alone"] / middle["off alone"]


def main() -> None:
    """Print the table."""
    print(f"{'batching on against off':32} {'64 at once':>12} {'one alone':>12}")
    for name, (model, row) in models().items():
        gain, alone = asyncio.run(compare(model, row))
        print(f"{name:32} {f'{gain:.1f} x':>12} {f'{alone:.2f}':>12}")


if __name__ == "__main__":
    main()
