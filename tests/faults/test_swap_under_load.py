"""Models are swapped, and everybody asks."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelgate import Deployment, Gate
from modelgate.testing import Client
from releases import release

SWAPS = 20
ROWS = [{"x0": 1.0, "x1": 2.0}] * 3


class Asked:
    """The answers of all who ask, each its status, version and predictions."""

    def __init__(self):
        self.answers, self.over = [], threading.Event()

    def note(self, status, body):
        self.answers.append((status, body.get("model_version"), tuple(body.get("result", [body]))))

    def more(self, count=20):
        """Wait until so many more have been answered."""
        seen = len(self.answers)
        while len(self.answers) < seen + count:
            self.over.wait(0.001)


def over_threads(gate, asked):
    client = Client(gate.wsgi)
    while not asked.over.is_set():
        answer = client.post("/predict/churn", json=ROWS)
        asked.note(answer.status, answer.json())


def over_a_loop(gate, asked):
    body = json.dumps(ROWS).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict/churn",
        "headers": [(b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1),
    }

    async def ask_on():
        while not asked.over.is_set():
            sent = []

            async def receive():
                return {"type": "http.request", "body": body}

            async def send(message, sent=sent):
                sent.append(message)

            await gate.asgi(dict(scope), receive, send)
            asked.note(sent[0]["status"], json.loads(sent[1]["body"]))
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(ask_on() for _ in range(8)))

    asyncio.run(main())


@pytest.mark.parametrize(("asking", "callers"), [(over_threads, 4), (over_a_loop, 1)])
def test_swaps_under_load(tmp_path, asking, callers):
    """No request fails, and each is answered by one version alone, of which the schemas differ too."""
    for version in (6, 7):
        release(version, columns=version - 5).save(tmp_path / f"churn@{version}.mgpkg")
    # So few are kept that the models are dropped and loaded meanwhile.
    gate = Gate([Deployment("churn", "store:churn@6")], keys="open", store=tmp_path, cache_size=1)
    asked = Asked()
    threads = [threading.Thread(target=asking, args=(gate, asked)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(SWAPS):
            asked.more()
            if turn % 3 == 2:
                gate.rollback("churn")
            else:
                gate.swap("churn", f"store:churn@{7 - turn % 2}")
        asked.more()
        gate.drain("churn", timeout=30)
        gate.resume("churn")
        asked.more()
    finally:
        asked.over.set()
        for thread in threads:
            thread.join(60)
    served = [answer for answer in asked.answers if answer[0] != 503]

    assert {(200, "6", (6.0,) * 3), (200, "7", (7.0,) * 3)} == set(served)
    # Those alone that came while it was drained were refused.
    assert all(status == 503 for status, version, _ in asked.answers if version is None)


FORKED = """
import os, signal, sys, threading
from modelgate import Deployment, Gate
from modelgate.testing import Client
from releases import release

class Slow:
    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def load(self, name):
        self.begun.set()
        assert self.go.wait(30)
        return release(6)

def ask():
    return Client(gate.wsgi).post("/predict/churn", json={"x0": 1}).json().get("model_version")

slow = Slow()
gate = Gate([Deployment("churn", "store:churn")], keys="open", store=slow)
asking = threading.Thread(target=ask)
asking.start()
slow.begun.wait(30)
with gate._serving._changing, gate.cache._lock:
    child = os.fork()
slow.go.set()
if child == 0:
    signal.alarm(60)
    told = [ask()]
    gate.swap("churn", release(7))
    told.append(ask())
    # What was in flight in the parent is not in flight here.
    told.append(gate.drain("churn", timeout=0))
    os._exit(told != ["6", "7", True])
asking.join(30)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_during_a_load():
    """The child loads for itself; what its parent waited for it does not."""
    tests = str(Path(__file__).parents[1])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    run = [sys.executable, "-W", "ignore", "-c", FORKED]
    done = subprocess.run(run, timeout=120, check=False, capture_output=True, text=True, env=environ)

    assert 0 == done.returncode, done.stderr
