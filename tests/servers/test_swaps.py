"""New models in several processes at once, while everybody asks them."""

import contextlib
import itertools
import threading
import time
from typing import NamedTuple

import pytest

from modelgate.gate.registry import SqlRegistry
from releases import release
from servers.serving import ROOT, serving

WATCH = 1.0
# So many seconds are given to a machine that is busy with other things.
SLACK = 20.0
VERSIONS = ("6", "7", "8")
DEPLOYMENTS = ("watched", "registered")
ROWS = [{"x0": 1.0, "x1": 2.0, "x2": 3.0}] * 3

APP = """
import os
from modelgate import Deployment, Gate

def tell_process(request, call_next):
    response = yield from call_next(request)
    response.set("x-process", str(os.getpid()))
    return response

deployments = [Deployment("watched", "store:churn"), Deployment("registered", "store:churn@6")]
gate = Gate(
    deployments, keys="open", limits=[tell_process], store="{models}", watch={watch}, registry="{registry}"
)
wsgi, asgi = gate.wsgi, gate.asgi
"""

GUNICORN = ["-m", "gunicorn", "swapped:wsgi", "--worker-class", "gthread", "--threads", "4", "--workers", "2"]
UVICORN = ["-m", "uvicorn", "swapped:asgi", "--workers", "2"]
COMMANDS = {
    "gunicorn": [*GUNICORN, "--bind", "127.0.0.1:PORT", "--chdir"],
    "uvicorn": [*UVICORN, "--port", "PORT", "--app-dir"],
}


class Told(NamedTuple):
    """An answer: who gave it when, and what was said."""

    deployment: str
    process: str
    begun: float
    ended: float
    status: int
    version: str
    said: tuple


class Asking:
    """Some who ask a server on and on, and what they were told."""

    def __init__(self, server):
        self._server = server
        self._over = threading.Event()
        self._more = threading.Condition()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]
        self.told, self.errors, self.seen = [], [], set()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self):
        for deployment in itertools.cycle(DEPLOYMENTS):
            if self._over.is_set():
                return
            begun = time.monotonic()
            try:
                answer = self._server.post(f"/predict/{deployment}", ROWS)
                body, process = answer.json(), answer.headers["x-process"]
                version, said = body["model_version"], tuple(body["result"])
            except Exception as error:
                self.errors.append(error)
                continue
            told = Told(deployment, process, begun, time.monotonic(), answer.status, version, said)
            with self._more:
                self.told.append(told)
                self.seen.add((version, deployment, process))
                self._more.notify_all()

    def wait_for(self, version):
        """Until both processes have answered by it, of both deployments."""
        with self._more:
            assert self._more.wait_for(
                lambda: sum(seen[0] == version for seen in self.seen) == 4, WATCH + SLACK
            )

    def of(self, version):
        """By deployment and process: when it was asked last, and when it had first answered."""
        asked, answered = {}, {}
        for told in self.told:
            if told.version == version:
                asked[told[:2]] = max(asked.get(told[:2], told.begun), told.begun)
                answered[told[:2]] = min(answered.get(told[:2], told.ended), told.ended)
        return asked, answered


@pytest.mark.parametrize("name", COMMANDS)
def test_swaps_in_all_processes(name, tmp_path):
    """No request fails, each is answered by one version alone, and no process goes back to an older one."""
    models, url = tmp_path / "models", f"sqlite:///{tmp_path}/registry.db"
    models.mkdir()
    # The schemas differ, too.
    packages = {version: release(version, columns=int(version) - 5) for version in VERSIONS}
    packages["6"].save(models / "churn@6.mgpkg")
    (tmp_path / "swapped.py").write_text(APP.format(models=models, watch=WATCH, registry=url))
    command = [*COMMANDS[name], str(tmp_path)]
    with (
        contextlib.closing(SqlRegistry(url)) as registry,
        serving(name, command, tmp_path, cwd=ROOT) as server,
        Asking(server) as asking,
    ):
        asking.wait_for("6")
        for version in VERSIONS[1:]:
            packages[version].save(models / f"churn@{version}.mgpkg")
            registry.set("registered", f"store:churn@{version}")
            asking.wait_for(version)

    assert [] == asking.errors
    assert {(200, version, (float(version),) * 3) for version in VERSIONS} == {
        told[4:] for told in asking.told
    }
    for before, after in itertools.pairwise(VERSIONS):
        asked, _ = asking.of(before)
        _, answered = asking.of(after)
        assert all(asked[who] <= answered[who] for who in answered)
