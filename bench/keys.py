"""What the check of a key costs, with its look-up in memory.

The floor is what no check can do without: the digest of the key, and looking that up in a dict. All take
turns in one run; the figure is the least of the rounds, in CPU time. Run pinned::

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


def per_call(function: Callable[[], Any]) -> float:
    """Microseconds of CPU time."""
    start = time.process_time_ns()
    for _ in range(CHECKS):
        function()
    return (time.process_time_ns() - start) / CHECKS / 1e3


def finish(flow: Any) -> Any:
    """Runs a flow that does not wait, as ``yield from`` in a layer does, without a driver's loop."""
    try:
        next(flow)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the look-up was not in memory")


def measure(folder: str) -> None:
    """Print the table."""
    # An hour: what is measured is the look-up in memory.
    plain = SqlKeyStore(f"sqlite:///{folder}/plain.db", staleness=3600)
    pepper = SqlKeyStore(f"sqlite:///{folder}/pepper.db", staleness=3600, pepper="a-pepper-for-the-benchmark")
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
    times = {name: min(taken) for name, taken in _rounds(checks).items()}
    floor = times["sha256, dict (floor)"]
    print(f"{'us':24}{'check':>10}{'ratio':>10}{'goal':>10}")
    for name, taken in times.items():
        print(f"{name:24}{taken:10.2f}{taken / floor:10.2f}{GOAL if name == 'SQL, warm' else '':>10}")
    plain.close()
    pepper.close()


def _rounds(checks: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in checks}
    for _ in range(ROUNDS):
        for name, check in checks.items():
            times[name].append(per_call(check))
    return times


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        measure(str(Path(made)))
