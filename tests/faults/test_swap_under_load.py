"""Models are swapped under load."""

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
from support.packages import make_package
from support.waiting import SOON, wait_until

SWAPS = 20
ROWS = [{"x0": 1.0, "x1": 2.0}] * 3


class Responses:
    """Status, version and predictions of all responses."""

    def __init__(self):
        self.answers, self.over = [], threading.Event()

    def note(self, status, body):
        self.answers.append((status, body.get("model_version"), tuple(body.get("result", [body]))))

    def more(self, count=20):
        """Wait until so many more have been answered."""
        seen = len(self.answers)
        wait_until(lambda: len(self.answers) >= seen + count)


def send_from_threads(gate, responses):
    client = Client(gate.wsgi)
    while not responses.over.is_set():
        answer = client.post("/predict/churn", json=ROWS)
        responses.note(answer.status, answer.json())


def send_from_a_loop(gate, responses):
    body = json.dumps(ROWS).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict/churn",
        "headers": [(b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1),
    }

    async def ask_on():
        while not responses.over.is_set():
            sent = []

            async def receive():
                return {"type": "http.request", "body": body}

            async def send(message, sent=sent):
                sent.append(message)

            await gate.asgi(dict(scope), receive, send)
            responses.note(sent[0]["status"], json.loads(sent[1]["body"]))
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(ask_on() for _ in range(8)))

    asyncio.run(main())


@pytest.mark.parametrize(("asking", "callers"), [(send_from_threads, 4), (send_from_a_loop, 1)])
def test_swaps_under_load_fail_no_request(tmp_path, asking, callers):
    """Each response is from one version only; their schemas differ, too."""
    for version in (6, 7):
        make_package(version, columns=version - 5).save(tmp_path / f"churn@{version}.mgpkg")
    # So few are kept that the models are dropped and loaded meanwhile.
    gate = Gate([Deployment("churn", "store:churn@6")], keys="open", store=tmp_path, cache_size=1)
    responses = Responses()
    threads = [threading.Thread(target=asking, args=(gate, responses)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(SWAPS):
            responses.more()
            if turn % 3 == 2:
                gate.deployments.rollback("churn")
            else:
                gate.deployments.swap("churn", f"store:churn@{7 - turn % 2}")
        responses.more()
        gate.deployments.drain("churn", timeout=SOON)
        gate.deployments.resume("churn")
        responses.more()
    finally:
        responses.over.set()
        for thread in threads:
            thread.join(SOON)
    served = [answer for answer in responses.answers if answer[0] != 503]

    assert {(200, "6", (6.0,) * 3), (200, "7", (7.0,) * 3)} == set(served)
    # Those alone that came while it was drained were refused.
    assert all(status == 503 for status, version, _ in responses.answers if version is None)


FORKED = """
import os, signal, sys, threading
from modelgate import Deployment, Gate
from modelgate.testing import Client
from support.packages import make_package

class Slow:
    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def load(self, name):
        self.begun.set()
        assert self.go.wait(300)
        return make_package(6)

def ask():
    return Client(gate.wsgi).post("/predict/churn", json={"x0": 1}).json().get("model_version")

slow = Slow()
gate = Gate([Deployment("churn", "store:churn")], keys="open", store=slow)
asking = threading.Thread(target=ask)
asking.start()
slow.begun.wait(300)
with gate.deployments._controller._changing, gate.deployments.cache._lock:
    child = os.fork()
slow.go.set()
if child == 0:
    signal.alarm(300)
    results = [ask()]
    gate.deployments.swap("churn", make_package(7))
    results.append(ask())
    # Requests in flight in the parent are not in flight in the child.
    results.append(gate.deployments.drain("churn", timeout=0))
    os._exit(results != ["6", "7", True])
asking.join(300)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork_during_a_load():
    """The child loads the model itself."""
    tests = str(Path(__file__).parents[1])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    run = [sys.executable, "-W", "ignore", "-c", FORKED]
    done = subprocess.run(run, timeout=SOON, check=False, capture_output=True, text=True, env=environ)

    assert 0 == done.returncode, done.stderr
