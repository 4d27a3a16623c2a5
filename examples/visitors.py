"""Simulated visitors of the example apps, so that the consoles have something to show."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelgate import Gate
from modelgate.testing import Client

from .training import WINE_COLUMNS, wine_frame

__all__ = ["start"]

_FIRST_REQUESTS = 550
_SECONDS_BETWEEN_REQUESTS = 1.5
_SECONDS_UNTIL_OUTCOME = 5.0


def start(gate: Gate, key: str) -> None:
    """Start a thread that sends requests to the deployment ``wine`` of *gate*: many at once, then one at a time.

    The visitors prefer strong wines, so the alcohol drifts. One in fifty sends a colour that does not exist.
    The actual cultivar of each wine is reported some seconds later.
    """
    threading.Thread(target=_visit, args=(gate, key), daemon=True).start()


def _visit(gate: Gate, key: str) -> None:
    client = Client(gate.wsgi, headers={"authorization": f"Bearer {key}"})
    known: list[tuple[float, dict[str, Any]]] = []
    for number, (row, cultivar) in enumerate(_wines()):
        visitor = f"visitor-{number}"
        path = "/deployments/wine/predict?passthrough=visitor"
        if client.post(path, json=[{**row, "visitor": visitor}]).status == 200:
            known.append((time.monotonic(), {"association": visitor, "actual": cultivar}))
        if number >= _FIRST_REQUESTS:
            time.sleep(_SECONDS_BETWEEN_REQUESTS)
        due = list(itertools.takewhile(lambda it: it[0] < time.monotonic() - _SECONDS_UNTIL_OUTCOME, known))
        if due:
            client.post("/deployments/wine/outcomes", json={"outcomes": [outcome for _, outcome in due]})
            known = known[len(due) :]


def _wines() -> Iterator[tuple[dict[str, Any], str]]:
    """Yield rows and their cultivars, in an order that a seed determines."""
    numbers, frame = np.random.default_rng(0), wine_frame()
    wines: list[dict[str, Any]] = frame[WINE_COLUMNS].to_dict("records")  # type: ignore[assignment]
    while True:
        index = numbers.integers(len(wines))
        row = {**wines[index], "alcohol": round(wines[index]["alcohol"] + 1, 2)}
        if numbers.random() < 0.02:
            row["colour"] = "orange"
        yield row, str(frame["cultivar"].iloc[index])
