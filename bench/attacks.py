"""Send small bodies that are costly to answer, and measure the time and memory that they take.

A server is started for each attack: uvicorn, or gunicorn with 16 threads. Growth is the highest resident memory of
the server during the attack, less its memory before. Linux only, because that figure is read from `/proc`::

    python bench/attacks.py             # all attacks, both servers
    python bench/attacks.py uvicorn csv # those whose names contain csv
"""

import bz2
import gzip
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import Process
from pathlib import Path
from typing import Any

KEY = "a-key-for-the-benchmark"
ATTACKERS = 5
"""Requests per second of one attacking thread."""
AUTH = {"Authorization": f"Bearer {KEY}"}
CSV_PATH = "/predApi/v1.0/deployments/iris/predictions"
HEADER = b"sepal_length,sepal_width,petal_length,petal_width\n"
GOOD = b'[{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}]'


def create_gate(**options: Any) -> Any:
    """Return the gate that is attacked, with *options*."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    from modelgate import Deployment, Explanations, Gate, Schema

    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    rows, labels = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(rows, labels)
    schema = Schema.of(**dict.fromkeys(names, float))
    return Gate(
        [
            Deployment("iris", model, schema=schema, explanations=Explanations(background=rows)),
            Deployment("x", lambda table: table["x"], schema=Schema.of(x=float)),
        ],
        keys={KEY: ["iris", "x"]},
        **options,
    )


def csv_bomb(rows: int) -> bytes:
    """Return a CSV of equal rows, compressed with bz2."""
    return bz2.compress(HEADER + b"1,1,1,1\n" * rows)


@dataclass
class Attack:
    """Bodies that are sent at the same time."""

    name: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    count: int = 1


BZ2 = {"Content-Type": "text/csv", "Content-Encoding": "bz2"}
JSON = {"Content-Type": "application/json"}
GZIP = {**JSON, "Content-Encoding": "gzip"}


def attacks() -> Iterator[Attack]:
    """Yield the attacks."""
    for rows in (100_000, 1_000_000, 6_500_000):
        yield Attack(f"csv, {rows:,} rows", CSV_PATH, csv_bomb(rows), BZ2)
    yield Attack("csv, 1,000,000 rows", CSV_PATH, csv_bomb(1_000_000), BZ2, 4)
    numbers = b"[" + b"1," * 26_000_000 + b"1]"
    yield Attack("gzip of numbers", CSV_PATH, gzip.compress(numbers), GZIP, 8)
    plain = HEADER + b"1,1,1,1\n" * 1_000_000
    yield Attack("csv, uncompressed", CSV_PATH, plain, {"Content-Type": "text/csv"})
    yield Attack("csv, uncompressed", CSV_PATH, plain, {"Content-Type": "text/csv"}, 4)
    for copies in (1, 8):
        half, small = HEADER + b"1,1,1,1\n" * 500_000, HEADER + b"1,1,1,1\n" * 50_000
        path = CSV_PATH + "?passthroughColumnsSet=all"
        yield Attack("csv, passed through", path, half, {"Content-Type": "text/csv"}, copies)
        path = CSV_PATH + "?maxExplanations=3"
        yield Attack("csv, explained", path, small, {"Content-Type": "text/csv"}, copies)
    for size in (1, 6):
        ones = b'{"instances":[' + b"1," * (size * 512 * 1024 - 16) + b"1]}"
        path = "/v1/models/x:predict" if size == 1 else "/mlflow/x/invocations"
        for copies in (1, 4):
            yield Attack(f"array of numbers, {size} MiB", path, ones, JSON, copies)


def send(
    port: int, path: str, body: bytes, headers: dict[str, str], timeout: float = 120
) -> tuple[int, float, int]:
    """Send a request. Return its status, the seconds it took, and the size of the response."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", path, body, {**AUTH, **headers})
        response = connection.getresponse()
        size = 0
        while chunk := response.read(65536):
            size += len(chunk)
        return response.status, time.perf_counter() - start, size
    finally:
        connection.close()


def memory(process: int) -> float:
    """Return the resident memory of *process* in MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 1e6


class Watch(threading.Thread):
    """Thread that records the highest memory of a process."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.before = self.highest = memory(process)
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.005):
            self.highest = max(self.highest, memory(self.process))


@contextmanager
def server(kind: str) -> Iterator[tuple[int, int]]:
    """Start a server. Yield its port, and the id of the process that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "uvicorn": ["-m", "uvicorn", "--log-level", "warning", "--port", str(port), "attacks:asgi"],
        "gunicorn": [
            *("-m", "gunicorn", "--threads", "16", "--timeout", "120", "--log-level", "warning"),
            *("-b", f"127.0.0.1:{port}", "attacks:wsgi"),
        ],
    }
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *options[kind]], cwd=Path(__file__).parent, env=environment, start_new_session=True
    )
    try:
        for _ in range(600):
            try:
                send(port, CSV_PATH, GOOD, JSON)
                break
            except OSError:
                time.sleep(0.05)
        worker = process.pid
        if kind == "gunicorn":
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            worker = int(children[0])
        for _ in range(50):
            send(port, CSV_PATH, GOOD, JSON)
        yield port, worker
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measure(kind: str, attack: Attack) -> None:
    """Print a line for *attack*."""
    with server(kind) as (port, process):
        watch = Watch(process)
        watch.start()
        answers: list[tuple[int, float, int]] = []
        good: list[float] = []

        def strike() -> None:
            answers.append(send(port, attack.path, attack.body, attack.headers))

        threads = [threading.Thread(target=strike) for _ in range(attack.count)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            good.append(send(port, CSV_PATH, GOOD, JSON)[1] * 1e3)
            time.sleep(0.01)
        watch.ended.set()
        watch.join()
    statuses = ",".join(f"{status}x{count}" for status, count in Counter(a[0] for a in answers).items())
    print(
        f"{kind:9}{attack.name:30}{len(attack.body):>12,}{attack.count:>3}  {statuses:12}"
        f"{max(a[1] for a in answers):8.2f} s{max(a[2] for a in answers) / 1e6:8.1f} MB"
        f"{watch.highest - watch.before:9.0f} MB{max(good):9.0f} ms",
        flush=True,
    )


def measure_latency(kind: str) -> None:
    """Print how long good requests take while 60 bombs arrive per second, and while none do."""
    with server(kind) as (port, _):
        quiet = good_latencies(port)
        # In a process of its own, so that it does not delay the client that measures.
        attackers = Process(target=strike_steadily, args=(port,), daemon=True)
        attackers.start()
        attacked = good_latencies(port)
        attackers.kill()
        attackers.join()
    for name, times in (("quiet", quiet), ("60 bombs/s", attacked)):
        p50, p99 = (statistics.quantiles(times, n=100)[index] for index in (49, 98))
        print(f"{kind:9}good requests, {name:12}p50 {p50:7.1f} ms   p99 {p99:7.1f} ms", flush=True)


def strike_steadily(port: int) -> None:
    """Send 60 bombs per second, each over a connection of its own."""
    bombs = [attack for attack in attacks() if attack.headers.get("Content-Encoding")]
    began = time.perf_counter()

    def strike(start: float) -> None:
        for number in count():
            time.sleep(max(0, start + number / ATTACKERS - time.perf_counter()))
            bomb = bombs[number % len(bombs)]
            send(port, bomb.path, bomb.body, bomb.headers)

    for number in range(60 // ATTACKERS):
        threading.Thread(target=strike, args=(began + number / 60,)).start()


def good_latencies(port: int) -> list[float]:
    """Return the milliseconds of good requests, of which 50 are sent per second over one connection."""
    connection, times, start = http.client.HTTPConnection("127.0.0.1", port), [], time.perf_counter()
    for number in range(500):
        time.sleep(max(0, start + number / 50 - time.perf_counter()))
        before = time.perf_counter()
        connection.request("POST", CSV_PATH, GOOD, {**AUTH, **JSON})
        assert connection.getresponse().read()
        times.append((time.perf_counter() - before) * 1e3)
    connection.close()
    return times


def measure_stream(kind: str, path: str) -> None:
    """Print a line for a body of 300 MB without a length."""
    with server(kind) as (port, process), socket.create_connection(("127.0.0.1", port)) as connection:
        watch = Watch(process)
        watch.start()
        fields = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        connection.sendall(
            f"{fields}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        sent = 0
        with suppress(OSError):
            while sent < 300_000_000:
                connection.sendall(b"100000\r\n%b\r\n" % (b" " * 0x100000))
                sent += 0x100000
        watch.ended.set()
        watch.join()
    growth = watch.highest - watch.before
    print(f"{kind:9}stream to {path}: {sent / 1e6:.0f} MB taken, {growth:.0f} MB more", flush=True)


def main(kinds: Sequence[str], names: Sequence[str]) -> None:
    """Print the table."""
    print(
        f"{'server':9}{'attack':30}{'bytes sent':>12}{'at once':>3}  status     slowest    answer   growth  good, slowest"
    )
    for kind in kinds:
        for attack in attacks():
            if not names or any(name in attack.name for name in names):
                measure(kind, attack)
        if not names:
            measure_stream(kind, "/v1/models/x:predict")
            measure_stream(kind, CSV_PATH)
            measure_latency(kind)


if __name__ == "__main__":
    chosen = [kind for kind in ("uvicorn", "gunicorn") if kind in sys.argv]
    main(chosen or ["uvicorn", "gunicorn"], [a for a in sys.argv[1:] if a not in chosen])
else:
    _gate = create_gate()
    asgi, wsgi = _gate.asgi, _gate.wsgi
