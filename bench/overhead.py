"""Measure what the gate adds to a request, above a raw handler that decodes and encodes the same.

In process, in CPU time: no server, no socket, no model. The floor and the gate take turns in one run; figures
are the median of the rounds. Run with BLAS and OpenMP threads pinned::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/overhead.py
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from modelgate import Deployment, Gate, MemoryStore, Output, Prediction, Schema, Table, drive, stack

KEY = "a-key-for-the-benchmark"
COLUMNS = [f"column {index}" for index in range(30)]
ROW = {name: index * 1.25 for index, name in enumerate(COLUMNS)}
BODY = msgspec.json.encode({"api_key": KEY, "input_data": ROW})
CLASSES = ["benign", "malignant"]
PROBABILITIES = np.array([[0.25, 0.75]])

ROUNDS, REQUESTS = 15, 2_000
NONE: Mapping[str, str] = {}


class Document(msgspec.Struct):
    """Request body, as decoded by the floor."""

    api_key: str
    input_data: dict[str, float]


DECODER = msgspec.json.Decoder(Document)
ANSWER = {"predictions": ["malignant"], "confidence_intervals": [0.25, 0.75]}


async def floor_asgi(scope: Any, receive: Any, send: Any) -> None:
    """Raw ASGI app that decodes and encodes with msgspec."""
    message = await receive()
    DECODER.decode(message["body"])
    body = msgspec.json.encode(ANSWER)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def floor_wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Raw WSGI app that decodes and encodes with msgspec."""
    DECODER.decode(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    body = msgspec.json.encode(ANSWER)
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]


def no_model(table: Table) -> Prediction:
    """Replace the model, to leave out the time of scikit-learn."""
    return Prediction([Output("diagnosis", np.array(["malignant"]), CLASSES, PROBABILITIES)])


def make_gate(**options: Any) -> Gate:
    """Return a gate with all default layers: keys, two rate windows, validation, cache, rounding and more."""
    schema = Schema.of(**dict.fromkeys(COLUMNS, float))
    deployment = Deployment("model", "store:no-model", schema=schema, offload=False)
    return Gate([deployment], keys={KEY: "model"}, store=MemoryStore({"no-model": no_model}), **options)


def send_asgi(app: Any, count: int, headers: Mapping[str, str] = NONE, *, concurrent: int = 1) -> None:
    """Send *count* requests to *app* on one event loop, *concurrent* at a time, with extra *headers*."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/predict",
        "query_string": b"",
        "client": ("192.0.2.1", 1),
        "headers": [
            (b"host", b"localhost"),
            (b"user-agent", b"bench"),
            (b"accept", b"*/*"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(BODY)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
    }
    message = {"type": "http.request", "body": BODY, "more_body": False}

    async def receive() -> Any:
        return message

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    async def send_some() -> None:
        for _ in range(count // concurrent):
            await app(dict(scope), receive, send)

    async def send_all() -> None:
        await asyncio.gather(*(send_some() for _ in range(concurrent)))

    asyncio.run(send_all())


class Input:
    """Body that can be read repeatedly."""

    def __init__(self, body: bytes = BODY) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        """Return the whole body."""
        return self._body


def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
    """Check that the status is 200."""
    assert status == "200 OK"


def send_wsgi(app: Any, count: int, headers: Mapping[str, str] = NONE) -> None:
    """Send *count* requests to *app*, with extra *headers*."""
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/api/predict",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(BODY)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": Input(),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    for _ in range(count):
        b"".join(app(dict(environ), start_response))


def make_empty_layers() -> tuple[Callable[[int], None], Callable[[int], None]]:
    """Return functions that call a handler alone, and within six layers that do nothing."""

    def answer(request: int) -> Any:
        yield from ()
        return request

    def layer(request: int, call_next: Any) -> Any:
        return (yield from call_next(request))

    layered = stack([layer] * 6, answer)

    def repeat(handler: Any) -> Callable[[int], None]:
        def call(count: int) -> None:
            for request in range(count):
                drive(handler(request))

        return call

    return repeat(answer), repeat(layered)


def compare(*functions: Callable[[int], None]) -> list[float]:
    """Return the microseconds of CPU per request of each function; the functions take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(ROUNDS + 1):
        for function, spent in zip(functions, times, strict=True):
            start = time.process_time()
            function(REQUESTS)
            if turn:  # The first turn warms up.
                spent.append((time.process_time() - start) / REQUESTS * 1e6)
    return [statistics.median(spent) for spent in times]


def main() -> None:
    """Print the table."""
    gate = make_gate()
    rows = {
        "ASGI: raw + msgspec, the gate": compare(
            lambda count: send_asgi(floor_asgi, count), lambda count: send_asgi(gate.asgi, count)
        ),
        "WSGI: raw + msgspec, the gate": compare(
            lambda count: send_wsgi(floor_wsgi, count), lambda count: send_wsgi(gate.wsgi, count)
        ),
        "six empty layers": compare(*make_empty_layers()),
    }
    goals = (12.0, 12.0, 5.0)
    print(f"{'us of CPU a request':32}{'floor':>8}{'full':>8}{'above':>8}{'goal':>8}")
    for (name, (floor, full)), goal in zip(rows.items(), goals, strict=True):
        print(f"{name:32}{floor:8.1f}{full:8.1f}{full - floor:8.1f}{goal:8.0f}")


if __name__ == "__main__":
    main()
