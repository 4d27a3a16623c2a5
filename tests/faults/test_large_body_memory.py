"""Memory of a process that answers a large body, without the memory that any first request takes."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

BENCH = Path(__file__).parents[2] / "bench"

ANSWER = """
import io, sys
from pathlib import Path
import attacks

def read(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def answer(query, body):
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": attacks.CSV_PATH, "QUERY_STRING": query,
        "CONTENT_TYPE": "text/csv", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
        "HTTP_AUTHORIZATION": f"Bearer {attacks.KEY}", "HTTP_ACCEPT": sys.argv[3],
        "SERVER_SOFTWARE": "gunicorn/23", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
    }
    statuses = []
    parts = gate.wsgi(environ, lambda status, *_: statuses.append(status))
    size = sum(map(len, parts))
    parts.close()
    assert ["200 OK"] == statuses
    return size

gate = attacks.create_gate(deadline=None)
query, rows = sys.argv[1], int(sys.argv[2])
answer(query, attacks.HEADER + b"1,1,1,1\\n" * min(20_000, rows // 3))
body = attacks.HEADER + b"1,1,1,1\\n" * rows
before = read("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
answer(query, body)
print(read("VmHWM") - before)
"""


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize(
    ("query", "rows"),
    [("", 1_000_000), ("passthroughColumnsSet=all", 500_000), ("maxExplanations=4", 75_000)],
)
def test_large_body_takes_less_than_64_mb(query, rows, accept):
    """At most 2,000,000 values are passed through, and at most 300,000 contributions are returned."""
    command = [sys.executable, "-c", ANSWER, query, str(rows), accept]
    result = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, timeout=600)

    assert "" == result.stderr
    assert int(result.stdout) < 64e6
