"""Soak test: ``python tests/soak.py MINUTES PAGE`` sends mixed good and hostile traffic to uvicorn.

Four callers send rows whose predictions are checked, two send the requests of `tests/fuzz/corpus.py`, and one lies
about the length of its body, or leaves in the middle of it. PAGE is an HTML page with plots of memory, latency and
errors. The exit status is 1 if an answer was unexpected: a good request without its prediction, or a hostile one
that is answered with another 5xx than 503.
"""

import html
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from support.servers import find_free_port

LIES = (
    b"Content-Length: 1000\r\n\r\n{}",
    b"Content-Length: -1\r\n\r\n{}",
    b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n{}",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"X-Long: " + b"a" * 100_000,
)


def make_app():
    """Return the app to serve: two estimators for good requests, and the functions of the fuzz targets."""
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression

    from fuzz.targets import make_deployments
    from modelgate import Deployment, Gate

    rows, target = load_diabetes(return_X_y=True)
    models = {"linear": LinearRegression(), "forest": RandomForestRegressor(20, max_depth=6, random_state=0)}
    deployments = [Deployment(name, model.fit(rows, target)) for name, model in models.items()]
    return Gate([*deployments, *make_deployments()], keys="open", limits="1000000000/day").asgi


class Traffic:
    """Callers in threads, and counts of their answers."""

    def __init__(self, port, seconds):
        self.port = port
        self.end = time.monotonic() + seconds
        self.latencies = []
        self.answers = Counter()
        self.unexpected = []

    def start(self):
        callers = [*[self.send_good] * 4, *[self.send_hostile] * 2, self.lie]
        threads = [threading.Thread(target=caller, daemon=True) for caller in callers]
        for thread in threads:
            thread.start()
        return threads

    def send(self, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def send_good(self):
        rng = np.random.default_rng()
        expected = {}
        while time.monotonic() < self.end:
            name, seed = rng.choice(["linear", "forest"]), int(rng.integers(50))
            row = np.random.default_rng(seed).normal(0, 0.05, 10).tolist()
            body = json.dumps({f"x{index}": value for index, value in enumerate(row)})
            start = time.monotonic()
            status, raw = self.send(
                f"/deployments/{name}/predict", body, {"content-type": "application/json"}
            )
            self.latencies.append(time.monotonic() - start)
            self.answers["good", status] += 1
            prediction = json.loads(raw).get("predictions")
            # The same row always has the same prediction, whatever else is sent.
            if status != 200 or prediction != expected.setdefault((name, seed), prediction):
                self.unexpected.append(f"good request to {name}: {status} {raw[:200]!r}")
            time.sleep(0.01)

    def send_hostile(self):
        from fuzz.corpus import CORPUS
        from fuzz.targets import split_head

        requests = list(CORPUS["gate"].items())
        while time.monotonic() < self.end:
            for name, data in requests:
                path, rest = split_head(data)
                content_type, rest = split_head(rest)
                coding, body = split_head(rest)
                fields = {"content-type": content_type, "content-encoding": coding}
                status, raw = self.send(path, body, {name: value for name, value in fields.items() if value})
                self.answers["hostile", status] += 1
                if status >= 500 and status != 503:
                    self.unexpected.append(f"hostile request {name!r}: {status} {raw[:200]!r}")
                if time.monotonic() >= self.end:
                    break
                time.sleep(0.02)

    def lie(self):
        while time.monotonic() < self.end:
            for lie in LIES:
                with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
                    connection.sendall(b"POST /deployments/linear/predict HTTP/1.1\r\nHost: a\r\n" + lie)
                    time.sleep(0.2)
                self.answers["lie", "sent"] += 1


def read_memory(pid):
    """Return the resident memory of the process *pid* in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def start_server(port, log):
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "--no-access-log",
        "--port",
        str(port),
        "soak:make_app",
    ]
    server = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=log, stderr=log)
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return server
    raise RuntimeError(f"uvicorn has ended: see {log.name}")


def sample(server, traffic, interval):
    """Return one line per *interval* seconds: minutes, memory, median and p99 of the latency, and unexpected answers."""
    start, samples, seen = time.monotonic(), [], 0
    while time.monotonic() < traffic.end and server.poll() is None:
        time.sleep(interval)
        latest, seen = traffic.latencies[seen:], len(traffic.latencies)
        median, p99 = np.percentile(latest, [50, 99]) * 1000 if latest else (np.nan, np.nan)
        minutes = (time.monotonic() - start) / 60
        samples.append((minutes, read_memory(server.pid), median, p99, len(traffic.unexpected)))
    if server.poll() is not None:
        traffic.unexpected.append(f"the server has ended with status {server.returncode}")
    return np.array(samples)


def memory_slope(samples):
    """Return the growth of memory in MB an hour, without the first third, in which the server warms up."""
    late = samples[len(samples) // 3 :]
    return np.polyfit(late[:, 0] / 60, late[:, 1], 1)[0]


def plot(title, minutes, lines):
    """Return an SVG plot of *lines*, values by name."""
    top = max(np.nanmax(list(lines.values())), 1e-9)
    svg = [f"<h2>{html.escape(title)}</h2><svg viewBox='-60 -10 880 240' width='880' height='240'>"]
    svg.append(f"<text x='-55' y='5'>{top:.4g}</text><text x='-55' y='200'>0</text>")
    svg.append(f"<text x='740' y='220'>{minutes[-1]:.4g} min</text><path d='M0 0V200H800' class='axes'/>")
    for number, (name, values) in enumerate(lines.items()):
        points = " ".join(
            f"{800 * minute / minutes[-1]:.1f},{200 - 200 * value / top:.1f}"
            for minute, value in zip(minutes, values, strict=True)
            if np.isfinite(value)
        )
        svg.append(f"<polyline points='{points}' class='line{number}'/>")
        svg.append(f"<text x='{10 + 120 * number}' y='220' class='line{number}'>{html.escape(name)}</text>")
    return "".join([*svg, "</svg>"])


def write_page(path, samples, traffic):
    minutes, memory, median, p99, unexpected = samples.T
    answers = "".join(
        f"<tr><td>{kind}<td>{status}<td>{count}" for (kind, status), count in traffic.answers.items()
    )
    faults = "".join(f"<li>{html.escape(fault)}" for fault in traffic.unexpected[:100])
    path.write_text(
        "<!doctype html><meta charset='utf-8'><title>Soak test</title><style>body{font:15px sans-serif;margin:2em}"
        ".axes,polyline{fill:none;stroke:#888}polyline.line0{stroke:#06c}polyline.line1{stroke:#c40}"
        "text{font-size:13px}text.line0{fill:#06c}text.line1{fill:#c40}td{padding-right:1em}</style>"
        f"<h1>Soak test of {minutes[-1]:.1f} minutes</h1>"
        f"<p>Memory after warm-up: {memory_slope(samples):+.1f} MB an hour. Unexpected answers:"
        f" {len(traffic.unexpected)}.<ul>{faults}</ul>"
        + plot("Memory of the server in MB", minutes, {"memory": memory})
        + plot("Latency of good requests in ms", minutes, {"median": median, "p99": p99})
        + plot("Unexpected answers", minutes, {"unexpected": unexpected})
        + f"<table><tr><th>request<th>status<th>count{answers}</table>"
    )


def main(minutes, page):
    with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
        server = start_server(port := find_free_port(), log)
        try:
            traffic = Traffic(port, 60 * minutes)
            threads = traffic.start()
            samples = sample(server, traffic, interval=min(5, minutes))
            for thread in threads:
                thread.join(120)
        finally:
            server.terminate()
            server.wait()
    write_page(page, samples, traffic)
    print(f"{page}: {sum(traffic.answers.values())} requests, memory {memory_slope(samples):+.1f} MB an hour")  # noqa: T201
    print(*traffic.unexpected[:20], f"{len(traffic.unexpected)} unexpected answers", sep="\n")  # noqa: T201
    return len(traffic.unexpected) > 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), Path(sys.argv[2])))
