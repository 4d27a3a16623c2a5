"""Run an app behind a real server, and send it requests over a socket."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.waiting import SOON

ROOT = Path(__file__).parents[2]
KEY = "mg_the-key-of-the-server-tests"

# By default gunicorn kills a worker that is busy for 30 s, uvicorn one that does not answer for 5 s.
PATIENT = {
    "GUNICORN_CMD_ARGS": f"--timeout {SOON} --graceful-timeout {SOON}",
    "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": str(SOON),
}

WINE = {
    "alcohol": 14.23,
    "malic_acid": 1.71,
    "flavanoids": 3.06,
    "hue": 1.04,
    "proline": 1065,
    "colour": "deep",
    "body": "full",
}
BEARER = {"Authorization": f"Bearer {KEY}"}
PREDICT = "/ml/api/predict"


@dataclass(frozen=True)
class Response:
    """A response. *kept* is whether the server left the connection open."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    kept: bool

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running server."""

    name: str
    port: int
    log: Path
    pid: int

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOON)
        try:
            yield connection
        finally:
            connection.close()

    def get(self, path: str) -> Response:
        with self.connection() as connection:
            return send_request(connection, "GET", path)

    def post(self, path: str, value: object, headers: Mapping[str, str] = BEARER) -> Response:
        with self.connection() as connection:
            return post(connection, path, json.dumps(value).encode(), headers)


def send_request(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Send a request on *connection*. A body in pieces is sent chunked; the server may stop reading it early."""
    fields, chunked = dict(headers or {}), body is not None and not isinstance(body, bytes)
    if chunked:
        fields["Transfer-Encoding"] = "chunked"
    with suppress(BrokenPipeError, ConnectionResetError):  # the response came before the whole body was sent
        connection.request(method, path, body, fields, encode_chunked=chunked)
    response = connection.getresponse()
    content = response.read()
    names = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, names, content, connection.sock is not None)


def post(
    connection: http.client.HTTPConnection,
    path: str,
    body: bytes | Iterable[bytes],
    headers: Mapping[str, str] = BEARER,
) -> Response:
    return send_request(connection, "POST", path, body, {"Content-Type": "application/json", **headers})


def find_free_port() -> int:
    """Return a TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_server(
    name: str, command: list[str], folder: Path, *, cwd: Path = ROOT, key: str | None = KEY
) -> Iterator[Server]:
    """Run *command*, in which PORT stands for the port, until the block ends."""
    port = find_free_port()
    log = folder / f"{name}.log"
    # HOME: gunicorn puts a control socket there.
    environ = {**os.environ, **PATIENT, "PORT": str(port), "PYTHONUNBUFFERED": "1", "HOME": str(folder)}
    environ.pop("MODELGATE_KEY", None)
    if key is not None:
        environ["MODELGATE_KEY"] = key
    command = [sys.executable, *(part.replace("PORT", str(port)) for part in command)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, port, log)
        yield Server(name, port, log, process.pid)
    finally:
        _stop(process, log)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + SOON
    while time.monotonic() < until and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=until - time.monotonic())
            send_request(connection, "GET", "/about")
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    state = f"ended with {process.returncode}" if process.returncode is not None else "is not ready"
    pytest.fail(f"the server {state}:\n{log.read_text('utf-8', 'replace')}")


def _stop(process: "subprocess.Popen[bytes]", log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(SOON)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"the server did not stop at SIGTERM:\n{log.read_text('utf-8', 'replace')}")
