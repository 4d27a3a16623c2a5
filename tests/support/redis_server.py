"""Run a Redis server for the tests: without persistence, on a free port."""

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from support.servers import find_free_port
from support.waiting import SOON


class RedisServer:
    """A Redis server, not started yet.

    Attributes:
        uri: Its URI, with timeouts that a busy machine does not exceed.
        address: The same with the default timeouts, for tests in which the server is silent.
        program: Path of redis-server.
    """

    def __init__(self, folder):
        self.program = shutil.which("redis-server")
        if self.program is None:
            pytest.skip("redis-server is not installed")
        self.folder = folder
        self.port = find_free_port()
        self.address = f"redis://127.0.0.1:{self.port}/0"
        self.uri = f"{self.address}?socket_timeout={SOON}&socket_connect_timeout={SOON}"
        self._process = None

    def start(self, *options):
        """Start the server, empty, with *options*, and wait until it accepts commands."""
        standard = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self.program, *standard, *options, "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + SOON
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.01)
        pytest.fail("redis-server does not start")

    def kill(self):
        """End the server at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def suspend(self):
        """Suspend the server: it accepts connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Resume the server after `suspend`."""
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        """End the server if it runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextmanager
def run_redis(folder):
    """Run a server until the block ends."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.close()
