"""Measure a key check whose look-up is cached.

The floor is the minimum that any check needs: the digest of the key, and a dict look-up. All take turns in one
run; figures are the minimum of the rounds, in CPU time. Run on one core::

    taskset -c 0 python bench/keys.py
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelgate import drive
from modelgate.keys import MemoryKeyStore, SqlKeyStore

ROUNDS, CHECKS = 30, 20_000
GOAL = 1.5


def time_calls(function: Callable[[], Any]) -> float:
    """Return the microseconds of CPU time per call."""
    start = time.process_time_ns()
    for _ in range(CHECKS):
        function()
    return (time.process_time_ns() - start) / CHECKS / 1e3


def finish(flow: Any) -> Any:
    """Run a flow that does not wait, without a driver, like ``yield from`` in a layer."""
    try:
        next(flow)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the look-up was not cached")


def measure(folder: str) -> None:
    """Print the table."""
    # A long ttl, so that only cached look-ups are measured.
    plain = SqlKeyStore(f"sqlite:///{folder}/plain.db", cache_ttl=3600)
    pepper = SqlKeyStore(f"sqlite:///{folder}/pepper.db", cache_ttl=3600, pepper="a-pepper-for-the-benchmark")
    key, peppered = (store.create(owner="bench", scopes="churn").key for store in (plain, pepper))
    memory = MemoryKeyStore({key: "churn"})
    assert drive(plain.find(key)) and drive(pepper.find(peppered))
    known = {hashlib.sha256(key.encode()).digest(): "churn"}
    checks: dict[str, Callable[[], Any]] = {
        "sha256, dict (floor)": lambda: known[hashlib.sha256(key.encode()).digest()],
        "memory": lambda: finish(memory.find(key)),
        "SQL, warm": lambda: finish(plain.find(key)),
        "SQL, warm, pepper": lambda: finish(pepper.find(peppered)),
    }
    times = {name: min(rounds) for name, rounds in _run_rounds(checks).items()}
    floor = times["sha256, dict (floor)"]
    print(f"{'us':24}{'check':>10}{'ratio':>10}{'goal':>10}")
    for name, microseconds in times.items():
        print(
            f"{name:24}{microseconds:10.2f}{microseconds / floor:10.2f}{GOAL if name == 'SQL, warm' else '':>10}"
        )
    plain.close()
    pepper.close()


def _run_rounds(checks: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in checks}
    for _ in range(ROUNDS):
        for name, check in checks.items():
            times[name].append(time_calls(check))
    return times


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measure(str(Path(folder)))
