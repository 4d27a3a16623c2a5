"""A Redis master, its replica and the Sentinel that watches them, on free ports."""

import subprocess
from contextlib import closing

import redis

from support.redis_server import RedisServer
from support.servers import find_free_port
from support.waiting import SOON, wait_until


class SentinelServers:
    """The three servers, not started yet.

    The Sentinel fails over only on command. One that relied on timeouts would fail over on a busy machine.

    Attributes:
        uri: The URI of the service, with timeouts that a busy machine does not exceed.
        master: The server that is master at first.
    """

    def __init__(self, folder):
        self.master, self._replica = RedisServer(folder), RedisServer(folder)
        self._folder, self._port, self._process = folder, find_free_port(), None
        timeouts = f"socket_timeout={SOON}&socket_connect_timeout={SOON}"
        self.uri = f"redis+sentinel://127.0.0.1:{self._port}/limits?{timeouts}"

    def start(self):
        """Start all three, and wait until the Sentinel knows the replica."""
        self.master.start()
        self._replica.start()
        with self._client(self._replica.port) as replica:
            replica.replicaof("127.0.0.1", self.master.port)
            wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        settings = self._folder / "sentinel.conf"
        settings.write_text(
            f"port {self._port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor limits 127.0.0.1 {self.master.port} 1\n"
            f"sentinel down-after-milliseconds limits {SOON * 1000}\n"
        )
        command = [self.master.program, str(settings), "--sentinel"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._knows_replica)

    def fail_over(self):
        """Make the replica the master, and wait until it is."""
        with self._client(self._port) as sentinel:
            wait_until(lambda: _accepts(sentinel, "SENTINEL", "FAILOVER", "limits"))
            wait_until(lambda: sentinel.sentinel_get_master_addr_by_name("limits")[1] == self._replica.port)

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.master.close()
        self._replica.close()

    def _client(self, port):
        return closing(redis.Redis(port=port))

    def _knows_replica(self):
        with self._client(self._port) as sentinel:
            try:
                replicas = sentinel.sentinel_slaves("limits")
            except redis.RedisError:
                return False
            return [True for replica in replicas if "disconnected" not in replica["flags"]]


def _accepts(client, *command):
    try:
        return client.execute_command(*command)
    except redis.ResponseError:
        return False
