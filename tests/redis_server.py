"""A Redis server of the tests' own: no persistence, a free port, stopped and started at will."""

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

READY_WITHIN = 20.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One server, not started yet."""

    def __init__(self, folder):
        self._program = shutil.which("redis-server")
        if self._program is None:
            pytest.skip("redis-server is not installed")
        self.folder = folder
        self.port = free_port()
        self.uri = f"redis://127.0.0.1:{self.port}/0"
        self._process = None

    def start(self):
        """Start it, empty, and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._program, *options, "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.01)
        pytest.fail("redis-server does not start")

    def kill(self):
        """End it at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Have it stand still: it takes connections and says nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """Have it go on where it stood still."""
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextmanager
def redis_serving(folder):
    """A server that runs until the block ends."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.close()
