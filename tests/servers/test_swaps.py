"""Models that are replaced in several processes at once, under load."""

import contextlib
import itertools
import threading
import time
from typing import NamedTuple

import pytest

from modelgate.deployments.sql_registry import SqlRegistry
from support.packages import make_package
from support.servers import ROOT, run_server
from support.waiting import SOON

WATCH = 1.0
VERSIONS = ("6", "7", "8")
DEPLOYMENTS = ("watched", "registered")
ROWS = [{"x0": 1.0, "x1": 2.0, "x2": 3.0}] * 3

APP = """
import os
from modelgate import Deployment, Gate

def add_process_id(request, call_next):
    response = yield from call_next(request)
    response.set("x-process", str(os.getpid()))
    return response

deployments = [Deployment("watched", "store:churn"), Deployment("registered", "store:churn@6")]
gate = Gate(
    deployments, keys="open", limits=[add_process_id], store="{models}", poll_interval={watch},
    deployment_registry="{registry}", load_timeout={soon}
)
wsgi, asgi = gate.wsgi, gate.asgi
"""

GUNICORN = ["-m", "gunicorn", "swapped:wsgi", "--worker-class", "gthread", "--threads", "4", "--workers", "2"]
UVICORN = ["-m", "uvicorn", "swapped:asgi", "--workers", "2"]
COMMANDS = {
    "gunicorn": [*GUNICORN, "--bind", "127.0.0.1:PORT", "--chdir"],
    "uvicorn": [*UVICORN, "--port", "PORT", "--app-dir"],
}


class Answer(NamedTuple):
    """Answer to a prediction request: times, process, model version and values."""

    deployment: str
    process: str
    started_at: float
    ended_at: float
    status: int
    version: str
    values: tuple


class Load:
    """Threads that send requests until the end of the context, and the answers."""

    def __init__(self, server):
        self._server = server
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._send_requests) for _ in range(4)]
        self.answers, self.errors, self.seen = [], [], set()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(SOON)

    def _send_requests(self):
        for deployment in itertools.cycle(DEPLOYMENTS):
            if self._stop.is_set():
                return
            started_at = time.monotonic()
            try:
                response = self._server.post(f"/predict/{deployment}", ROWS)
                body, process = response.json(), response.headers["x-process"]
                version, values = body["model_version"], tuple(body["result"])
            except Exception as error:
                self.errors.append(error)
                continue
            answer = Answer(
                deployment, process, started_at, time.monotonic(), response.status, version, values
            )
            with self._changed:
                self.answers.append(answer)
                self.seen.add((version, deployment, process))
                self._changed.notify_all()

    def wait_for(self, version):
        """Wait until both processes have used *version* for both deployments."""
        with self._changed:
            assert self._changed.wait_for(lambda: sum(seen[0] == version for seen in self.seen) == 4, SOON)

    def times_of(self, version):
        """Return the last start and the first end of a request, by deployment and process."""
        last_start, first_end = {}, {}
        for answer in self.answers:
            if answer.version == version:
                key = answer.deployment, answer.process
                last_start[key] = max(last_start.get(key, answer.started_at), answer.started_at)
                first_end[key] = min(first_end.get(key, answer.ended_at), answer.ended_at)
        return last_start, first_end


@pytest.mark.parametrize("name", COMMANDS)
def test_models_are_replaced_in_all_processes(name, tmp_path):
    """No request fails or mixes versions, and no process returns to an older version."""
    models, url = tmp_path / "models", f"sqlite:///{tmp_path}/registry.db"
    models.mkdir()
    # The schemas differ, too.
    packages = {version: make_package(version, columns=int(version) - 5) for version in VERSIONS}
    packages["6"].save(models / "churn@6.mgpkg")
    (tmp_path / "swapped.py").write_text(APP.format(models=models, watch=WATCH, registry=url, soon=SOON))
    command = [*COMMANDS[name], str(tmp_path)]
    with (
        contextlib.closing(SqlRegistry(url)) as registry,
        run_server(name, command, tmp_path, cwd=ROOT) as server,
        Load(server) as load,
    ):
        load.wait_for("6")
        for version in VERSIONS[1:]:
            packages[version].save(models / f"churn@{version}.mgpkg")
            registry.set("registered", f"store:churn@{version}")
            load.wait_for(version)

    assert [] == load.errors
    assert {(200, version, (float(version),) * 3) for version in VERSIONS} == {
        answer[4:] for answer in load.answers
    }
    for before, after in itertools.pairwise(VERSIONS):
        last_start, _ = load.times_of(before)
        _, first_end = load.times_of(after)
        assert all(last_start[key] <= first_end[key] for key in first_end)
