"""Rate limits in forked processes."""

import subprocess
import sys

from support.waiting import SOON

SCRIPT = """
import os
from modelgate import RateLimit, drive
from modelgate.testing import StubHandler, request
limit = RateLimit("{rate}", storage="{uri}")
def send(count):
    for _ in range(count):
        drive(limit(request(), StubHandler()))
send(1)
child = os.fork()
send(4)
if child:
    assert 0 == os.waitpid(child, 0)[1]
try:
    send(1)
except Exception as error:
    assert (not child, error.status, limit.outage_count) == (False, 429, 0)
"""


def run_limit_in_forks(rate, uri):
    """Send 1 + 4 + 4 requests and one of the child, which pass; the parent's last one is rejected."""
    script = SCRIPT.format(rate=rate, uri=uri)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SOON)
