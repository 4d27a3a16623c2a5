"""Metrics of several processes behind one port."""

import http.client
import json
import os
import signal
from pathlib import Path

import pytest

from support.prometheus import parse_samples, read_sample
from support.servers import run_server
from support.waiting import SOON, wait_until

LABELS = {"deployment": "m", "version": "1"}
COMMANDS = {
    "gunicorn": [
        "gunicorn",
        "servers.counting_app:wsgi",
        "--bind",
        "127.0.0.1:PORT",
        "--pythonpath",
        "tests",
    ],
    "uvicorn": ["uvicorn", "servers.counting_app:asgi", "--port", "PORT", "--app-dir", "tests"],
}


def send(port: int, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SOON)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("server", COMMANDS)
def test_counts_of_four_workers_are_exact(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after one of them is killed, and another takes its place. At the end all have logged predictions."""
    monkeypatch.setenv("METRICS_DIR", str(tmp_path / "metrics"))
    monkeypatch.setenv("LOG_DIR", str(tmp_path / "log"))
    sent = 0

    def predict() -> None:
        nonlocal sent
        sent += 1
        status, _ = send(port, "POST", "/simple/m", json.dumps([{"a": sent}, {"a": -sent}]))
        assert 200 == status

    def scrape() -> str:
        return send(port, "GET", "/metrics")[1]

    def processes() -> set[int]:
        """Return the processes that have counted, after one more prediction."""
        predict()
        samples = parse_samples(scrape())
        return {int(dict(key[1:])["pid"]) for key in samples if key[0] == "modelgate_process_info"}

    command = ["-m", *COMMANDS[server], "--workers", "4"]
    with run_server(server, command, tmp_path) as running:
        port = running.port
        before = wait_until(lambda: found if len(found := processes()) > 1 else None)
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: min(before) not in processes())
        killed = sent
        wait_until(lambda: processes() - before)
        text = scrape()
        # Other processes store their gauges once in a second.
        wait_until(lambda: 1 == read_sample(scrape(), "modelgate_requests_in_flight"))

    assert sent == read_sample(text, "modelgate_requests_total", **LABELS, dialect="simple", code="200")
    assert 2 * sent == read_sample(text, "modelgate_rows_total", **LABELS)
    assert sent == read_sample(text, "modelgate_model_duration_seconds_count", **LABELS, role="serving")
    lines = [line for path in (tmp_path / "log").iterdir() for line in path.read_text().splitlines()]
    logged = {json.loads(line)["input"]["a"] for line in lines}
    assert {sign * number for number in range(killed + 1, sent + 1) for sign in (1, -1)} <= logged
