"""Requests in flight when a server is told to stop."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.servers import ROOT, run_server
from support.waiting import SOON, wait_until

COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "servers.draining_app:asgi", "--app-dir", "tests", "--port", "PORT"],
    "gunicorn": [
        *("-m", "gunicorn", "servers.draining_app:wsgi", "--pythonpath", "tests", "--bind", "127.0.0.1:PORT"),
        *("--worker-class", "gthread", "--threads", "4"),
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_requests_in_flight_at_sigterm_are_answered(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those in threads of the gate; then the process ends."""
    monkeypatch.setenv("DRAINING_FOLDER", str(tmp_path))
    with run_server(name, COMMANDS[name], tmp_path, cwd=ROOT) as server, ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(server.post, "/simple/double", {"x": x}) for x in range(3)]
        try:
            wait_until(lambda: len([*tmp_path.glob("entered-*")]) == 3)
            os.kill(server.pid, signal.SIGTERM)
            wait_until(lambda: re.search("Shutting down|Handling signal: term", server.log.read_text()))
        finally:
            (tmp_path / "go").touch()
        answers = [future.result(SOON) for future in futures]

    assert [(200, 0.0), (200, 2.0), (200, 4.0)] == [(it.status, it.json()["prediction"]) for it in answers]
