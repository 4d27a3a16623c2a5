"""The recipe of docs/cookbook/logs.md behind real servers."""

import json
import re
import time
from pathlib import Path

import pytest

from support.servers import ROOT, run_server

APP = "servers.logging_app"
COMMANDS = {
    "uvicorn": [
        "-m",
        "uvicorn",
        f"{APP}:asgi_app",
        "--app-dir",
        "tests",
        "--port",
        "PORT",
        "--no-access-log",
    ],
    "gunicorn": ["-m", "gunicorn", f"{APP}:wsgi_app", "--pythonpath", "tests", "--bind", "127.0.0.1:PORT"],
    "flask": ["-m", "flask", "--app", f"{APP}:wsgi_app", "run", "--port", "PORT"],
}


def read_lines(command: list[str], folder: Path) -> list[str]:
    """Return the lines of the access log after one prediction."""
    with run_server("logged", command, folder) as server:
        response = server.post("/ml/deployments/churn/predict", {"age": 41})
        assert response.status == 200
        until = time.monotonic() + 2
        while "modelgate.access" not in server.log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        lines = server.log.read_text().splitlines()
    return [line for line in lines if "POST /ml/deployments/churn/predict 200" in line]


@pytest.mark.parametrize("server", COMMANDS)
def test_access_log_is_shown_once(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGURED", "yes")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    (line,) = read_lines(COMMANDS[server], tmp_path)

    assert re.search(r" INFO modelgate\.access: 127\.0\.0\.1 POST /ml/deployments/churn/predict 200 ", line)


def test_access_log_is_hidden_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGURED", "no")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))

    assert read_lines(COMMANDS["uvicorn"], tmp_path) == []


def test_log_config_of_uvicorn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file on the page, without any code in the app."""
    monkeypatch.setenv("CONFIGURED", "no")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    page = (ROOT / "docs/cookbook/logs.md").read_text()
    config = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert config is not None
    path = tmp_path / "log.json"
    path.write_text(json.dumps(json.loads(config[1])))

    assert len(read_lines([*COMMANDS["uvicorn"], "--log-config", str(path)], tmp_path)) == 1
