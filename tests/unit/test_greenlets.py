"""Gates in a process whose threads are greenlets."""

import subprocess
import sys

from support.waiting import SOON

ASYNC_HANDLER = """
from gevent import monkey, pool
{first}
import asyncio, logging
logging.basicConfig(format="%(message)s")
from modelgate import Gate, Schema
from modelgate.testing import Client
{later}
gate = Gate(keys="open", deadline={deadline})
running = most = 0

@gate.handler("double", schema=Schema.of(amount=float))
async def double(table):
    global running, most
    running += 1
    most = max(most, running)
    await asyncio.sleep(0.2)
    running -= 1
    return table["amount"] * 2

def predict(number):
    return Client(gate.wsgi).post("/predict/double", json={{"amount": number}}).json()["result"]

assert pool.Pool(8).map(predict, range(8)) == [2.0 * number for number in range(8)]
assert most > 1
"""


def run(script: str) -> str:
    """Run *script* in a process of its own, and return its log."""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SOON)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_async_handlers_run_at_once_under_gevent() -> None:
    """With and without a deadline."""
    for deadline in (30, None):
        log = run(ASYNC_HANDLER.format(first="monkey.patch_all()", later="", deadline=deadline))

        assert "patched" not in log


def test_late_patch_is_reported_once() -> None:
    log = run(ASYNC_HANDLER.format(first="", later="monkey.patch_all()\nGate(keys='open')", deadline=30))

    assert log.count("modelgate was imported before gevent or eventlet patched") == 1
