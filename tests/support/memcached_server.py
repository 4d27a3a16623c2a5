"""Run a Memcached server for the tests, on a free port."""

import shutil
import signal
import socket
import subprocess

import pytest

from support.servers import find_free_port
from support.waiting import SOON, wait_until


class MemcachedServer:
    """A Memcached server, not started yet.

    Attributes:
        uri: Its URI, with timeouts that a busy machine does not exceed.
        address: The same with the default timeouts, for tests in which the server is silent.
    """

    def __init__(self):
        self._program = shutil.which("memcached")
        if self._program is None:
            pytest.skip("memcached is not installed")
        self.port = find_free_port()
        self.address = f"memcached://127.0.0.1:{self.port}"
        self.uri = f"{self.address}?socket_timeout={SOON}&socket_connect_timeout={SOON}"
        self._process = None

    def start(self):
        """Start the server, empty, and wait until it responds."""
        options = ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-u", "nobody"]
        self._process = subprocess.Popen([self._program, *options])
        wait_until(self._responds)

    def _responds(self):
        assert self._process.poll() is None, "memcached does not start"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"version\r\n")
                return probe.recv(16).startswith(b"VERSION")
        except OSError:
            return False

    def kill(self):
        """End the server at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Suspend the server: it accepts connections and does not respond."""
        self._process.send_signal(signal.SIGSTOP)

    def close(self):
        if self._process is not None and self._process.poll() is None:
            self.kill()
