"""``modelgate serve --workers``: real processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager

import pytest

from modelgate import ModelPackage
from support.waiting import SOON, wait_until

ROW = {f"x{number}": 0.0 for number in range(10)}
# The tests may run under nohup, which disables SIGHUP.
COMMAND = (
    "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from modelgate.cli import main; main()"
)


def children(pid):
    """Return the ids of the child processes that run."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "--ppid", str(pid)], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {int(pid) for pid, state in rows if not state.startswith("Z")}


@contextmanager
def serve(folder, *options):
    """Run the command with two workers, and yield the process and the URL."""
    command = [sys.executable, "-c", COMMAND, "serve", str(folder), "--port", "0", "--workers", "2"]
    command += ["--keys", "open", "--limits", "100000/minute", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        limit = threading.Timer(SOON, process.kill)
        limit.start()
        try:
            url = re.search(r"http://\S+", process.stdout.readline())[0]
            wait_until(lambda: len(children(process.pid)) == 2)
            yield process, url
        finally:
            limit.cancel()
            process.kill()


def read(url, rows=None):
    body = None if rows is None else json.dumps(rows).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SOON) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def folder(diabetes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    package = ModelPackage.from_estimator(diabetes[0], diabetes[1][:20], None, name="diabetes")
    package.save(folder / "diabetes.mgpkg")
    return folder


def test_workers_share_a_port_and_their_metrics(folder):
    with serve(folder) as (process, url):
        for _ in range(10):
            assert "prediction" in read(f"{url}/deployments/diabetes/predict", ROW)
        # A request is counted after its response has been sent.
        wait_until(lambda: 'dialect="native",code="200"} 10\n' in read(f"{url}/metrics"))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SOON)

    assert 0 == process.returncode
    assert "Limits are counted in each of 2 workers" in errors


def test_workers_finish_their_requests_after_sigterm(folder):
    body = json.dumps(ROW).encode()
    head = (
        "POST /deployments/diabetes/predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with serve(folder) as (process, url):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=SOON) as client:
            client.sendall(head.encode())
            started = client.recv(100)
            workers = children(process.pid)
            process.send_signal(signal.SIGTERM)
            # The other worker ends, and this one waits for the body.
            wait_until(lambda: len(children(process.pid)) == 1)
            client.sendall(body)
            answer = client.recv(10_000)
        process.communicate(timeout=SOON)

    assert started.startswith(b"HTTP/1.1 100 ")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert (2, 0) == (len(workers), process.returncode)


def test_workers_end_with_their_terminal(folder):
    with serve(folder) as (process, _):
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=SOON)

    assert 0 == process.returncode


def test_a_killed_worker_is_replaced(folder):
    with serve(folder) as (process, url):
        first = children(process.pid)
        os.kill(min(first), signal.SIGKILL)
        wait_until(lambda: len(children(process.pid) - first) == 1 and len(children(process.pid)) == 2)
        assert "true" in read(f"{url}/health/ready")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SOON)

    assert 0 == process.returncode
    assert f"serve: worker {min(first)} ended with status -9: replaced" in errors


def test_workers_end_if_the_first_process_is_killed(folder):
    with serve(folder) as (process, _):
        workers = children(process.pid)
        process.kill()
        process.wait()
        for worker in workers:
            wait_until(lambda pid=worker: not is_running(pid))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return not state.strip().startswith("Z")
