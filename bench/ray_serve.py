"""Serve a gate on two nodes of a Ray cluster: two replicas against one, a lost node, an update and limits.

Both nodes are processes of this machine. The model waits 200 ms and does one call at a time, so that one replica
can answer 5 requests a second however many cores there are. Needs ``redis-server``, and an environment with
Ray, which limits the versions of many libraries::

    pip install "modelgate[ray,redis]" && python bench/ray_serve.py [SECONDS] [ROUNDS]
"""

import collections
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from modelgate import Deployment, Gate, RateLimit, Schema

KEY = "mg_the-key-of-the-ray-benchmark"
CLIENTS = 6
PAUSE = 0.2
PATIENCE = "300"
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # The defaults are too short for a busy machine.
    "RAY_gcs_server_port_wait_time_s": PATIENCE,
    "RAY_worker_register_timeout_seconds": PATIENCE,
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": PATIENCE,
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": PATIENCE,
}
ATTEMPTS = 600

Answer = tuple[int, str, str]
"""Status, model version and node of an answer; the status is 0 without an answer."""


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def gate_factory(storage: str, version: str = "1", limit: str = "1000000/day") -> Callable[[], Gate]:
    """Return the function that creates the gate of a replica."""

    def create_gate() -> Gate:
        import ray

        lock, node = threading.Lock(), int(ray.get_runtime_context().get_node_id()[:6], 16)

        def wait(table: Any) -> Any:
            with lock:
                time.sleep(PAUSE)
            return table["age"] * 0 + node

        deployment = Deployment("churn", wait, schema=Schema.of(age=float), version=version, batch=False)
        return Gate([deployment], keys={KEY: "churn"}, limits=RateLimit(limit, storage=storage))

    return create_gate


class Client:
    """Threads that send requests until they are stopped.

    Args:
        port: Port of the proxy.
        attempts: Maximum number of attempts of a request that gets 5xx or no answer.
    """

    def __init__(self, port: int, attempts: int = 1) -> None:
        self.answers: list[Answer] = []
        self.repeated: collections.Counter[str] = collections.Counter()
        self._url = f"http://127.0.0.1:{port}/ml/deployments/churn/predict"
        self._attempts = attempts

    def send(self) -> Answer:
        """Return the answer to one request."""
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "accept": "text/csv"}
        request = urllib.request.Request(self._url, b'[{"age": 21}]', headers)
        answer: Answer = (0, "", "")
        for attempt in range(self._attempts):
            try:
                with urllib.request.urlopen(request, timeout=float(PATIENCE)) as response:
                    node = response.read().decode().split()[-1]
                    return response.status, response.headers["x-model-version"], node
            except urllib.error.HTTPError as error:
                answer = error.code, "", ""
                if error.code < 500:
                    return answer
            except OSError:
                answer = 0, "", ""
            if attempt + 1 < self._attempts:
                self.repeated[str(answer[0])] += 1
                time.sleep(0.2)
        return answer

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Send requests from `CLIENTS` threads meanwhile."""
        stopped = threading.Event()

        def run() -> None:
            while not stopped.is_set():
                self.answers.append(self.send())

        threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def statuses(self) -> str:
        """Return the number of answers of each status."""
        return str(dict(collections.Counter(status for status, _, _ in self.answers)))


def measure_speed(port: int, seconds: float) -> tuple[float, int]:
    """Return the requests a second of `CLIENTS` threads, and the number of nodes that answered."""
    client, started = Client(port), time.perf_counter()
    with client.load():
        time.sleep(seconds)
    assert {status for status, _, _ in client.answers} == {200}, client.statuses()
    nodes = {node for _, _, node in client.answers}
    return len(client.answers) / (time.perf_counter() - started), len(nodes)


def run(storage: str, seconds: float, rounds: int) -> None:
    """Print all figures."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    from modelgate.mount.ray import create_application

    port = free_port()
    node = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    second = cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20)
    ray.init(address=cluster.address, log_to_driver=False)
    serve.start(http_options={"port": port})

    def deploy(gate: Callable[[], Gate], replicas: int = 2) -> None:
        app = create_application(
            gate, num_replicas=replicas, health_check_timeout_s=240, ray_actor_options={"num_cpus": 1}
        )
        serve.run(app, name="gate", route_prefix="/ml")

    first = gate_factory(storage)
    speeds = []
    for _ in range(rounds):
        deploy(first, 1)
        one, _ = measure_speed(port, seconds)
        deploy(first, 2)
        two, nodes = measure_speed(port, seconds)
        speeds.append(two / one)
        print(f"one replica {one:.1f}/s, two {two:.1f}/s, answered by {nodes} nodes", flush=True)
    print(f"two replicas to one: {statistics.median(speeds):.2f}", flush=True)

    client = Client(port)
    with client.load():
        deploy(gate_factory(storage, "2"))
        after = client.send()[1]
    versions = dict(collections.Counter(version for _, version, _ in client.answers))
    print(f"update: statuses {client.statuses()}, versions {versions}, afterwards {after}", flush=True)

    client = Client(port, ATTEMPTS)
    with client.load():
        time.sleep(seconds)
        before = len(client.answers)
        cluster.remove_node(second, allow_graceful=False)
        time.sleep(max(seconds, 30))
    lost = client.statuses()
    print(f"lost node: statuses {lost}, {len(client.answers) - before} of them afterwards", flush=True)
    print(f"lost node: attempts that were repeated, by status {dict(client.repeated)}", flush=True)

    deploy(gate_factory(storage, limit="25/day"))
    limited = collections.Counter(client.send()[0] for _ in range(40))
    print(f"40 requests with a limit of 25 a day: {dict(limited)}", flush=True)
    serve.shutdown()
    ray.shutdown()
    cluster.shutdown()


def main(seconds: float = 10, rounds: int = 3) -> None:
    """Run the benchmark on a cluster of its own."""
    redis = shutil.which("redis-server")
    try:
        import ray  # noqa: F401
    except ImportError:
        redis = None
    if redis is None:
        print('ray_serve.py needs redis-server and pip install "modelgate[ray,redis]"')
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        os.environ |= SETTINGS | {"HOME": folder, "RAY_TMPDIR": folder}
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with subprocess.Popen([redis, *options], stdout=subprocess.DEVNULL) as server:
            try:
                run(f"redis://127.0.0.1:{port}/0", seconds, rounds)
            finally:
                server.terminate()


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
