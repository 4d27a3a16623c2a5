"""Count the bytecodes of one usual request: in frames of modelgate, and in all Python frames.

One row of 30 numbers, full standard stack, after requests that fill every cache. Unlike a time, the count is the
same on every machine and at every load. It differs between versions of Python. modelgate reads a clock on which
every call is fast and no rate limit's window ends.

The floor is a raw handler that decodes and encodes the same. ``python bench/bytecodes.py functions`` lists the
functions of each kind of request with their bytecodes.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeAlias

# A call that takes more than two milliseconds makes the next ones run in a thread, which is not traced.
# Set before modelgate is imported, whose modules import these functions by name.
time.perf_counter = time.monotonic = time.time = count(1_700_000_000.0, 1e-7).__next__

# ruff: noqa: E402
import msgspec
import numpy as np
from sklearn.linear_model import LogisticRegression

import modelgate
from modelgate import Deployment, Gate
from overhead import BODY, CLASSES, KEY, ROW, Input, floor_asgi, floor_wsgi, make_gate, start_response

SOURCE = str(Path(modelgate.__file__).parent)
WARM_UP, REQUESTS = 50, 10
IN_HEADER = {"authorization": f"Bearer {KEY}"}
ROW_ONLY = msgspec.json.encode({"input_data": ROW})
NATIVE_BODY = msgspec.json.encode(ROW)

Counts: TypeAlias = Counter[CodeType]


class Case(NamedTuple):
    """A kind of request, and the apps that answer it."""

    name: str
    asgi: Any
    wsgi: Any
    body: bytes = BODY
    path: str = "/api/predict"
    headers: dict[str, str] = {}  # noqa: RUF012  never changed


def make_cases() -> list[Case]:
    """Return the kinds of requests that are measured."""
    usual, estimator = make_gate(), make_estimator_gate()
    native = "/deployments/model/predict"
    return [
        Case("floor", floor_asgi, floor_wsgi),
        Case("no model, key in the body", usual.asgi, usual.wsgi),
        Case("no model, key in a header", usual.asgi, usual.wsgi, ROW_ONLY, headers=IN_HEADER),
        Case("no model, native", usual.asgi, usual.wsgi, NATIVE_BODY, native, IN_HEADER),
        Case("estimator, key in the body", estimator.asgi, estimator.wsgi),
        Case("estimator, key in a header", estimator.asgi, estimator.wsgi, ROW_ONLY, headers=IN_HEADER),
        Case("estimator, native", estimator.asgi, estimator.wsgi, NATIVE_BODY, native, IN_HEADER),
    ]


def make_estimator_gate() -> Gate:
    """Return a typical gate: a fitted estimator, with its exact plan and with batching."""
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(200, len(ROW))), columns=list(ROW))
    labels = np.array(CLASSES)[(frame.iloc[:, 0] > 0).to_numpy().astype(int)]
    gate = Gate([Deployment("model", LogisticRegression().fit(frame, labels))], keys={KEY: "model"})
    assert not isinstance(gate.deployments.predictor("model").plan, str)
    return gate


def trace_bytecodes(counts: Counts) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that counts the bytecodes of each function, except those of this file."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            if frame.f_code.co_filename == __file__:
                return None
            frame.f_trace_opcodes = True
        elif event == "opcode":
            counts[frame.f_code] += 1
        return trace

    return trace


def count_asgi(case: Case) -> Counts:
    """Return the bytecodes of one request under ASGI, by function."""
    counts: Counts = Counter()
    trace = trace_bytecodes(counts)
    headers = {
        "host": "localhost",
        "user-agent": "bench",
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(case.body)),
        **case.headers,
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": case.path,
        "query_string": b"",
        "client": ("192.0.2.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": case.body, "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    async def send_all() -> None:
        for _ in range(WARM_UP):
            await case.asgi(dict(scope), receive, send)
        before = sys.gettrace()
        for _ in range(REQUESTS):
            sys.settrace(trace)
            await case.asgi(dict(scope), receive, send)
            sys.settrace(before)

    asyncio.run(send_all())
    return counts


def count_wsgi(case: Case) -> Counts:
    """Return the bytecodes of one request under WSGI, by function."""
    counts: Counts = Counter()
    trace = trace_bytecodes(counts)
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": case.path,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(case.body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": "bench",
        "HTTP_ACCEPT": "*/*",
        "wsgi.url_scheme": "http",
        "wsgi.input": Input(case.body),
        **{f"HTTP_{name.upper()}": value for name, value in case.headers.items()},
    }
    for _ in range(WARM_UP):
        case.wsgi(dict(environ), start_response)
    before = sys.gettrace()
    for _ in range(REQUESTS):
        sys.settrace(trace)
        case.wsgi(dict(environ), start_response)
        sys.settrace(before)
    return counts


def count_ours(counts: Counts) -> float:
    """Return the bytecodes of one request in frames of modelgate."""
    ours = (number for code, number in counts.items() if code.co_filename.startswith(SOURCE))
    return sum(ours) / REQUESTS


def measure() -> dict[str, tuple[float, float]]:
    """Return the bytecodes of each kind of request in frames of modelgate, under ASGI and under WSGI."""
    return {case.name: (count_ours(count_asgi(case)), count_ours(count_wsgi(case))) for case in make_cases()}


def print_functions(case: Case, counts: Counts) -> None:
    """Print the bytecodes of each function of modelgate."""
    print(f"\n{case.name}")
    for code, number in counts.most_common():
        file = code.co_filename.removeprefix(SOURCE + "/")
        print(f"{number / REQUESTS:8.0f}  {file}:{code.co_firstlineno} {code.co_qualname}")


def main() -> None:
    """Print the table, and with the argument ``functions`` the functions of each case."""
    print(f"{'bytecodes of one request':30}{'ASGI: ours':>12}{'all':>8}{'WSGI: ours':>13}{'all':>8}")
    for case in make_cases():
        asgi, wsgi = count_asgi(case), count_wsgi(case)
        print(
            f"{case.name:30}{count_ours(asgi):12.0f}{asgi.total() / REQUESTS:8.0f}"
            f"{count_ours(wsgi):13.0f}{wsgi.total() / REQUESTS:8.0f}"
        )
        if "functions" in sys.argv:
            print_functions(case, asgi)
            print_functions(case, wsgi)


if __name__ == "__main__":
    main()
