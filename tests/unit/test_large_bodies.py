"""Large bodies: the budget they wait for, and the memory and time that they take."""

import asyncio
import bz2
import gzip
import itertools
import json
import threading
import time
import tracemalloc
from io import BytesIO
from itertools import islice
from wsgiref.util import setup_testing_defaults

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

import modelgate.dialects._streaming as streaming
import modelgate.dialects.datarobot as datarobot
import modelgate.http.body as http_body
import modelgate.http.large_bodies as large_bodies
from modelgate import (
    BodyLimit,
    ConfigurationError,
    DeadlineExceeded,
    Deployment,
    Explanations,
    Gate,
    InvalidInput,
    Overloaded,
    Schema,
    adrive,
    drive,
)
from modelgate.cancellation import stop_if_abandoned
from modelgate.codecs.csv_writer import iter_csv
from modelgate.codecs.json import LARGE
from modelgate.flow import run_long
from modelgate.flow.deadline import with_deadline
from modelgate.http.large_bodies import LargeBodies
from modelgate.testing import Client, FakeClock
from support.marks import slow
from support.waiting import SOON, wait_until

DATAROBOT = "/deployments/double/predictions"
CSV_TYPE = {"content-type": "text/csv"}
ROW = b"1." + b"3" * 97 + b"\n"


@pytest.fixture(params=[*slow("wsgi"), "asgi"])
def interface(request):
    return request.param


def double(table):
    return table["x"] * 2


def make_gate(**options):
    return Gate([Deployment("double", double, schema=Schema.of(x=float))], keys="open", **options)


class Waiter:
    """A body of *size* bytes that is admitted in a thread."""

    def __init__(self, bodies, size, sent=0):
        self.on_close, self.admitted, self.error = [], threading.Event(), None
        self.thread = threading.Thread(target=self.admit, args=(bodies, size, sent), daemon=True)
        self.thread.start()

    def admit(self, bodies, size, sent):
        try:
            drive(bodies.admit(sent, size, self.on_close))
        except Overloaded as error:
            self.error = error
        self.admitted.set()

    def close(self):
        for callback in self.on_close:
            callback()


def test_large_bodies_wait_in_the_order_of_arrival():
    """A body that fits does not overtake one that waits."""
    bodies = LargeBodies(100)
    first = Waiter(bodies, 60)
    first.admitted.wait(SOON)
    second = Waiter(bodies, 60)
    wait_until(lambda: bodies.waiting == 1)
    third = Waiter(bodies, 10)
    wait_until(lambda: bodies.waiting == 2)

    assert (60, False, False) == (
        bodies.bytes_in_progress,
        second.admitted.is_set(),
        third.admitted.is_set(),
    )
    first.close()
    second.admitted.wait(SOON)
    third.admitted.wait(SOON)

    assert (70, 0, 2) == (bodies.bytes_in_progress, bodies.waiting, bodies.waits)
    for waiter in (first, second, third, third):
        waiter.close()

    assert 0 == bodies.bytes_in_progress


def test_body_larger_than_the_budget_is_admitted_alone():
    bodies = LargeBodies(100)
    on_close = []
    drive(bodies.admit(5, 1000, on_close))

    assert (100, 0) == (bodies.bytes_in_progress, bodies.waits)
    waiter = Waiter(bodies, 1)
    wait_until(lambda: bodies.waiting)
    on_close[0]()

    assert waiter.admitted.wait(SOON)


def test_decompressed_body_returns_what_it_does_not_need():
    bodies = LargeBodies(100)
    share = drive(bodies.admit(1, 90, []))
    waiter = Waiter(bodies, 50)
    wait_until(lambda: bodies.waiting)
    bodies.resize(share, 20)

    assert waiter.admitted.wait(SOON)
    assert 70 == bodies.bytes_in_progress


def test_bodies_beyond_the_queue_are_rejected():
    """Waiting bodies are in memory."""
    bodies = LargeBodies(100)
    drive(bodies.admit(100, 100, []))
    large = Waiter(bodies, 500, sent=500)
    wait_until(lambda: bodies.waiting)
    rejected = Waiter(bodies, 10, sent=10)
    rejected.admitted.wait(SOON)

    assert isinstance(rejected.error, Overloaded)
    assert (False, 1, 2) == (large.admitted.is_set(), bodies.rejected, bodies.waits)


def test_response_that_nobody_reads_holds_the_budget_for_30_seconds():
    """No server limits the time to send. Waiting bodies look again, and so do those that arrive."""
    clock = FakeClock()
    bodies = LargeBodies(100, clock=clock)
    unread = drive(bodies.admit(1, 60, []))
    slow_model = drive(bodies.admit(1, 40, []))
    waiting = bodies.admit(1, 10, [])
    next(waiting)
    clock.advance(1000)
    waiting.throw(TimeoutError)

    assert (100, 1) == (bodies.bytes_in_progress, bodies.waiting)
    unread.limit_sending()
    clock.advance(29.9)
    waiting.throw(TimeoutError)

    assert (100, 1) == (bodies.bytes_in_progress, bodies.waiting)
    clock.advance(0.1)
    with pytest.raises(StopIteration):
        waiting.throw(TimeoutError)

    assert (50, 0) == (bodies.bytes_in_progress, bodies.waiting)
    slow_model.limit_sending()
    clock.advance(30)
    drive(bodies.admit(1, 90, []))

    assert (100, 1) == (bodies.bytes_in_progress, bodies.waits)


@pytest.mark.parametrize("call", [drive, lambda flow: asyncio.run(adrive(flow))], ids=["drive", "adrive"])
def test_waiting_body_looks_again_by_itself(monkeypatch, call):
    monkeypatch.setattr(large_bodies, "_RECHECK_SECONDS", 0.001)
    bodies = LargeBodies(100, clock=itertools.count(step=10).__next__)
    drive(bodies.admit(1, 100, [])).limit_sending()
    call(with_deadline(bodies.admit(1, 100, []), time.perf_counter() + SOON))

    assert (100, 1) == (bodies.bytes_in_progress, bodies.waits)


def test_unread_response_of_few_rows_holds_the_budget_for_30_seconds():
    clock, limit = FakeClock(), BodyLimit()
    limit.large_bodies = LargeBodies(10_000, clock=clock)
    gate = make_gate(body_limit=limit)
    sent, rows = threading.Event(), b"x\n" + b"1." + b"3" * 70_000 + b"\n"

    async def send(message):
        if message["type"] == "http.response.body":
            sent.set()
            await asyncio.Event().wait()

    async def run_until_sent():
        upload = Upload([rows])
        upload.send = send
        request = asyncio.create_task(upload.post_asgi(gate, {}))
        await asyncio.to_thread(sent.wait, SOON)
        clock.advance(30)
        assert 200 == Client(gate.wsgi).post(DATAROBOT, body=rows, headers=CSV_TYPE).status
        request.cancel()

    asyncio.run(run_until_sent())

    assert 0 == limit.large_bodies.waits


@pytest.mark.slow
def test_streamed_response_holds_the_budget_for_30_seconds(interface):
    """A long one whose caller does not read it. The end of the request then changes nothing."""
    clock, limit = FakeClock(), BodyLimit()
    limit.large_bodies = LargeBodies(10_000, clock=clock)
    app, body = make_gate(body_limit=limit).wsgi, b"x\n" + b"1\n" * 40_000
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": DATAROBOT, "wsgi.input": BytesIO(body)}
    environ |= {"CONTENT_TYPE": "text/csv", "CONTENT_LENGTH": str(len(body))}
    setup_testing_defaults(environ)
    response = app(environ, lambda status, headers: None)
    clock.advance(30)
    answer = Client(getattr(make_gate(body_limit=limit), interface)).post(
        DATAROBOT, body=body, headers=CSV_TYPE
    )

    assert 200 == answer.status
    assert 0 == limit.large_bodies.bytes_in_progress
    response.close()

    assert (0, 0) == (limit.large_bodies.bytes_in_progress, limit.large_bodies.waits)


def test_deadline_ends_the_wait_of_a_large_body():
    """Its place in the queue is free at the end of the request."""
    bodies, on_close = LargeBodies(100), []
    drive(bodies.admit(1, 100, []))
    with pytest.raises(DeadlineExceeded):
        drive(with_deadline(bodies.admit(1, 1, on_close), 0))
    on_close[0]()

    assert (1, 0) == (bodies.waits, bodies.waiting)


@pytest.mark.parametrize("option", ["limit", "max_expansion", "budget"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_body_limit_rejects_invalid_options(option, value):
    with pytest.raises(ConfigurationError, match=option):
        BodyLimit(**{option: value})


def test_gate_body_limit(interface):
    """A number of bytes, or a layer."""
    for limit in (20, BodyLimit(20)):
        client = Client(getattr(make_gate(body_limit=limit), interface))

        assert 200 == client.post(DATAROBOT, body=b"x\n1\n", headers=CSV_TYPE).status
        assert 413 == client.post(DATAROBOT, body=b"x\n" + b"1\n" * 20, headers=CSV_TYPE).status
    with pytest.raises(ConfigurationError, match="body_limit: limit must be"):
        make_gate(body_limit=0)


@pytest.mark.parametrize("coding", ["gzip", "bz2"])
def test_body_that_expands_too_much_is_rejected(interface, coding):
    """The same rows are accepted without a coding."""
    pack = {"gzip": gzip.compress, "bz2": bz2.compress}[coding]
    rows = b"x\n" + ROW * 4000
    client = Client(getattr(make_gate(body_limit=BodyLimit(max_expansion=100)), interface))
    answer = client.post(DATAROBOT, body=pack(rows), headers={**CSV_TYPE, "content-encoding": coding})

    assert 413 == answer.status
    assert "expands to more than 100 times the" in answer.json()["message"]
    assert "send it without Content-Encoding" in answer.json()["message"]
    assert 200 == client.post(DATAROBOT, body=rows[: 1300 * len(ROW) + 2], headers=CSV_TYPE).status
    few = pack(rows[: 1300 * len(ROW) + 2])

    assert 200 == client.post(DATAROBOT, body=few, headers={**CSV_TYPE, "content-encoding": coding}).status


def test_small_bodies_pass_while_large_ones_wait(interface):
    """Also compressed ones. The metrics show what waits."""
    limit = BodyLimit(budget=100_000)
    client = Client(getattr(make_gate(body_limit=limit, metrics="open"), interface))
    impatient = Client(getattr(make_gate(body_limit=limit, deadline=0.2), interface))
    drive(limit.large_bodies.admit(1, 100_000, []))
    headers = {**CSV_TYPE, "content-encoding": "gzip"}
    large = b"x\n" + ROW * 700

    assert 200 == client.post(DATAROBOT, body=b"x\n" + b"1\n" * 9, headers=CSV_TYPE).status
    assert (
        200 == client.post(DATAROBOT, body=gzip.compress(large[: 99 * len(ROW) + 2]), headers=headers).status
    )
    assert 504 == impatient.post(DATAROBOT, body=large, headers=CSV_TYPE).status
    metrics = client.get("/metrics").body.decode()

    assert "modelgate_large_bodies_waits_total 1\n" in metrics
    assert "modelgate_large_bodies_waiting 0\n" in metrics
    assert "modelgate_large_bodies_bytes 100000\n" in metrics
    assert "modelgate_large_bodies_rejected_total 0\n" in metrics


def test_budget_is_returned_after_each_response(interface):
    limit = BodyLimit()
    client = Client(getattr(make_gate(body_limit=limit), interface))
    for body, status in [(b"x\n" + ROW * 700, 200), (b"x\n" + b"a" * LARGE, 422)]:
        assert status == client.post(DATAROBOT, body=body, headers=CSV_TYPE).status
        assert 0 == limit.large_bodies.bytes_in_progress


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    ["/deployments/double/predict?explain=1", f"{DATAROBOT}?maxExplanations=1"],
    ids=["native", "datarobot"],
)
@pytest.mark.parametrize("idempotency", [False, True], ids=["read later", "read before"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_body_of_a_request_for_explanations_counts_twenty_times(interface, path, idempotency, coding):
    """As much more memory do the explanations take."""
    limit, counted = BodyLimit(), set()

    def model(table):
        counted.add(limit.large_bodies.bytes_in_progress)
        return table["x"] * 2

    explanations = Explanations("permutation", background=[{"x": 1.0}])
    deployment = Deployment("double", model, schema=Schema.of(x=float), explanations=explanations)
    gate = Gate([deployment], keys="open", body_limit=limit, idempotency=idempotency)
    counted.clear()
    body = b"x\n" + ROW * 700
    headers = {**CSV_TYPE, "content-encoding": coding, "idempotency-key": "1"}
    response = Client(getattr(gate, interface)).post(
        path, body=gzip.compress(body) if coding == "gzip" else body, headers=headers
    )

    assert (200, {20 * len(body)}) == (response.status, counted)


@pytest.mark.parametrize(
    ("path", "accept", "read"),
    [
        (DATAROBOT, "application/json", lambda text: [r["prediction"] for r in json.loads(text)["data"]]),
        *slow(
            (DATAROBOT, "text/csv", lambda text: list(map(float, text.split()[1:]))),
            (
                "/deployments/double/predict",
                "application/json",
                lambda text: [r["prediction"] for r in json.loads(text)["predictions"]],
            ),
            ("/deployments/double/predict", "text/csv", lambda text: list(map(float, text.split()[1:]))),
            (
                "/deployments/double/predict",
                "application/x-ndjson",
                lambda text: [json.loads(line)["prediction"] for line in text.splitlines()],
            ),
        ),
    ],
)
def test_long_responses_are_streamed(interface, path, accept, read):
    """Their parts make up the same response, at every number of rows."""
    client = Client(getattr(make_gate(), interface))
    for rows in (0, 1, streaming.PIECE_ROWS, streaming.PIECE_ROWS + 1, 2 * streaming.PIECE_ROWS, 9000):
        values = np.arange(rows, dtype=float)
        body = b"x\n" + b"".join(b"%d\n" % value for value in values)
        answer = client.post(path, body=body, headers={**CSV_TYPE, "accept": accept})

        assert (2 * values).tolist() == read(answer.body.decode())
        assert (answer.header("content-length") is None) == (rows > streaming.PIECE_ROWS)


@pytest.mark.slow
def test_end_of_a_streamed_response_returns_the_budget():
    """Not every WSGI server closes the response, and a caller may leave early."""
    limit = BodyLimit()
    app = make_gate(body_limit=limit).wsgi
    body = b"x\n" + b"1\n" * 40_000
    for count, close in [(None, False), (2, True), (0, True)]:
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": DATAROBOT, "wsgi.input": BytesIO(body)}
        environ |= {"CONTENT_TYPE": "text/csv", "CONTENT_LENGTH": str(len(body))}
        setup_testing_defaults(environ)
        response = app(environ, lambda status, headers: None)

        assert len(body) == limit.large_bodies.bytes_in_progress
        list(islice(response, count))
        if close:
            response.close()

        assert 0 == limit.large_bodies.bytes_in_progress


def test_caller_that_has_left_ends_a_streamed_response():
    """Servers such as uvicorn ignore the rest, so it would be encoded for nobody."""
    limit, parts, has_left = BodyLimit(), [], asyncio.Event()
    body = b"x\n" + b"1\n" * 40_000
    messages = [{"type": "http.request", "body": body}]

    async def receive():
        if messages:
            return messages.pop()
        await has_left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        parts.append(message)
        if message.get("body"):
            has_left.set()

    headers = [(b"content-type", b"text/csv")]
    scope = {"type": "http", "method": "POST", "path": DATAROBOT, "headers": headers}
    asyncio.run(make_gate(body_limit=limit).asgi(scope, receive, send))

    assert ["http.response.start", "http.response.body"] == [part["type"] for part in parts]
    assert parts[-1]["more_body"]
    assert 0 == limit.large_bodies.bytes_in_progress


@pytest.mark.slow
@pytest.mark.parametrize("server", ["Werkzeug/3", "gunicorn/23"])
def test_error_does_not_look_like_the_end_of_a_response(monkeypatch, server):
    """HTTP/1.0 and some servers mark the end by closing the connection. The length is then sent first."""

    def fail_at_third(*args, **options):
        yield from islice(iter_csv(*args, **options), 2)
        raise RuntimeError

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": DATAROBOT,
        "HTTP_ACCEPT": "text/csv",
        "CONTENT_TYPE": "text/csv",
    }
    environ["SERVER_SOFTWARE"] = server
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if server == "Werkzeug/3" else "HTTP/1.0"
    starts = []
    for encode in (iter_csv, fail_at_third):
        monkeypatch.setattr("modelgate.dialects.datarobot_rows.iter_csv", encode)
        body = b"x\n" + b"1\n" * 300_000
        environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        setup_testing_defaults(environ)
        response = make_gate().wsgi(environ, lambda status, headers: starts.append((status, dict(headers))))
        content = b"".join(response)
        getattr(response, "close", lambda: None)()

        assert str(len(content)) == starts[-1][1]["content-length"]
    assert ["200 OK", "500 Internal Server Error"] == [status for status, _ in starts]


def test_view_encodes_a_long_response_off_the_event_loop(monkeypatch):
    """A view returns the whole response."""
    threads = set()

    def watched(rows):
        for span in row_spans(rows):
            threads.add(threading.get_ident())
            yield span

    row_spans = streaming.row_spans
    monkeypatch.setattr("modelgate.dialects.native_rows.row_spans", watched)

    async def predict(request):
        return await make_gate().handle(request)

    app = Starlette(routes=[Route(DATAROBOT, predict, methods=["POST"])])
    answer = Client(app).post(DATAROBOT, body=b"x\n" + b"1\n" * 9000, headers=CSV_TYPE)

    assert (200, 9000) == (answer.status, len(answer.json()["predictions"]))
    assert threading.get_ident() not in threads


def test_unencodable_label_is_found_before_a_long_response_begins():
    gate = Gate(
        [
            Deployment(
                "double", lambda table: ["a"] * (len(table) - 1) + ["\ud800"], schema=Schema.of(x=float)
            )
        ],
        keys="open",
    )

    assert 500 == Client(gate.wsgi).post(DATAROBOT, body=b"x\n" + b"1\n" * 9000, headers=CSV_TYPE).status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/double:predict", b'{"instances":%b}'),
        ("/v1/models/double:predict", b'{"inputs":{"x":%b}}'),
        ("/mlflow/double/invocations", b'{"inputs":%b}'),
        ("/mlflow/double/invocations", b'{"dataframe_split":{"columns":["x"],"data":%b}}'),
    ],
)
def test_row_limit_comes_before_rows_are_made(monkeypatch, path, body):
    monkeypatch.setattr("modelgate.schema.LazyRows.__iter__", None)
    item = b"[1]" if b"split" in body else b"1"
    answer = Client(make_gate().wsgi).post(path, body=body % (b"[" + b",".join([item] * 200_000) + b"]"))

    assert 400 == answer.status
    assert b"200000 rows are more than the limit of 10000 per request" in answer.body


def test_deadline_ends_a_long_call():
    """The wait of the request, and then the work."""
    ended = threading.Event()

    def work():
        try:
            while True:
                stop_if_abandoned()
        finally:
            ended.set()

    with pytest.raises(DeadlineExceeded):
        drive(with_deadline(run_long(work), time.perf_counter() + 0.05))

    assert ended.wait(SOON)


def test_long_calls_leave_the_thread_of_the_server(monkeypatch, interface):
    """So the deadline ends them, too."""
    threads = {}

    def watched(name, function):
        def call(*args, **options):
            threads[name] = threading.current_thread()
            return function(*args, **options)

        return call

    client = Client(getattr(make_gate(), interface))
    monkeypatch.setattr(Schema, "read", watched("read", Schema.read))
    monkeypatch.setattr(datarobot, "rows_to_json", watched("write", datarobot.rows_to_json))
    monkeypatch.setattr(http_body, "decompress", watched("decompress", http_body.decompress))
    body = gzip.compress(b"x\n" + ROW * 700)

    assert 200 == client.post(DATAROBOT, body=body, headers={**CSV_TYPE, "content-encoding": "gzip"}).status
    assert ["decompress", "read", "write"] == sorted(threads)
    assert threading.main_thread() not in threads.values()


def test_call_without_a_deadline_runs_in_its_own_thread():
    assert threading.get_ident() == drive(run_long(threading.get_ident))
    assert stop_if_abandoned() is None


SCHEMA = Schema.of(x=float, y=float)


def read_error(rows):
    with pytest.raises(Exception) as caught:
        SCHEMA.read(json.dumps(rows).encode())
    return type(caught.value), str(caught.value), getattr(caught.value, "details", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {5: {"x": "a", "y": 1}, 3500: {"x": "b", "y": None}},
        {3: {"x": 1}, 3500: {"y": 1}},
        {9: 1},
        {3999: "text"},
        {2: {"x": 1, "y": 2, "z": {"w": 1}}, 3999: {"x": None, "y": 1}},
        {index: {"y": 1} for index in range(4000)},
    ],
)
def test_error_of_a_large_body_is_that_of_all_rows(monkeypatch, change):
    """Rows are validated part by part, and reported as if they were not."""
    rows = [change.get(index, {"x": index, "y": -index}) for index in range(4000)]
    monkeypatch.setattr("modelgate.schema.json_decoder.LARGE", 10**9)
    expected = read_error(rows)
    monkeypatch.setattr("modelgate.schema.json_decoder.LARGE", 0)
    monkeypatch.setattr("modelgate.schema.json_decoder._PART", 1000)

    assert expected == read_error(rows)


@pytest.mark.parametrize("extra", [{}, {"z": [{"a": "],{"}, '}"\\']}])
def test_large_body_is_read_in_parts(monkeypatch, extra):
    rows = [{"x": index, "y": index / 3, **extra} for index in range(4000)]
    monkeypatch.setattr("modelgate.schema.json_decoder._PART", 1000)
    table = SCHEMA.read(json.dumps(rows).encode())

    assert [[row["x"], row["y"]] for row in rows] == table.numbers.tolist()


def test_syntax_error_of_a_large_body_has_its_position():
    raw = json.dumps([{"x": index, "y": 0} for index in range(9000)]).encode()
    position = len(raw) - 4
    for damaged in (raw[:position] + b"\xff" + raw[position:], raw[:position] + b"?" + raw[position:]):
        with pytest.raises(Exception, match=rf"\(byte {position}\)"):
            SCHEMA.read(damaged)


@pytest.mark.parametrize("form", [b"%b", b"[%b]"])
def test_row_with_too_many_values_is_rejected(monkeypatch, form):
    """As Python objects, they would take 30 times their size."""
    monkeypatch.setattr("modelgate.schema.json_decoder.MAX_ROW_VALUES", LARGE)
    row = b'{"x": 1, "y": 1, "z": [%b1]}' % (b"1," * LARGE)
    with pytest.raises(InvalidInput, match="A row has more than 65536 values"):
        SCHEMA.read(form % row)


class Upload:
    """Body that arrives in *parts*, for WSGI and ASGI.

    Args:
        parts: Parts of the body.
        status: Status of the response, once it has begun.
    """

    def __init__(self, parts):
        self.parts, self.received, self.status, self.body = iter(parts), False, None, b""

    def post(self, gate, interface, **headers):
        """Send the body to *gate* without a ``Content-Length``, and return the status of the response."""
        return (
            self.post_wsgi(gate, headers)
            if interface == "wsgi"
            else asyncio.run(self.post_asgi(gate, headers))
        )

    def read(self, size):
        part = next(self.parts, b"")
        assert len(part) <= size
        return part

    def post_wsgi(self, gate, headers):
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": DATAROBOT,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.input": self,
            "wsgi.input_terminated": True,
            "CONTENT_TYPE": "text/csv",
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        setup_testing_defaults(environ)

        def start_response(status, _headers):
            self.status = int(status[:3])

        self.body = b"".join(gate.wsgi(environ, start_response))
        return self.status

    async def receive(self):
        if self.received:
            await asyncio.Event().wait()
        part = next(self.parts, None)
        self.received = part is None
        return {"type": "http.request", "body": part or b"", "more_body": not self.received}

    async def send(self, message):
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    async def post_asgi(self, gate, headers):
        fields = {"content-type": "text/csv", **{name.replace("_", "-"): v for name, v in headers.items()}}
        scope = {
            "type": "http",
            "method": "POST",
            "path": DATAROBOT,
            "http_version": "1.1",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        }
        await gate.asgi(scope, self.receive, self.send)
        return self.status


def in_parts(body):
    return [body[start : start + 65536] for start in range(0, len(body), 65536)]


def test_stream_that_is_too_large_takes_little_memory(interface):
    """Up to its limit it is stored in a file."""
    gate = make_gate(body_limit=40_000_000)
    upload = Upload(bytes(65536) for _ in itertools.count())
    tracemalloc.start()
    try:
        assert 413 == upload.post(gate, interface)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_large_body_waits_in_a_file(interface, coding):
    """It is answered like a body that did not wait. Its size after decompression counts from the start."""
    limit = BodyLimit(budget=10_000_000)
    gate = make_gate(body_limit=limit)
    rows = b"x\n" + ROW * 40_000
    expected = Client(gate.wsgi).post(DATAROBOT, body=rows, headers=CSV_TYPE).body
    upload = Upload(in_parts(rows if coding == "identity" else gzip.compress(rows, 0)))
    blocking = []
    drive(limit.large_bodies.admit(1, 10_000_000, blocking))
    tracemalloc.start()
    try:
        headers = {"content_encoding": coding}
        thread = threading.Thread(target=upload.post, args=(gate, interface), kwargs=headers)
        thread.start()
        wait_until(lambda: limit.large_bodies.waiting)

        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
        blocking[0]()
    thread.join()

    assert (200, expected) == (upload.status, upload.body)
    assert 0 == limit.large_bodies.bytes_in_progress


def test_large_body_of_known_length_may_be_shorter():
    """Then it is rejected."""
    body = b"x\n" + ROW * 20_000
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": DATAROBOT,
        "CONTENT_TYPE": "text/csv",
        "CONTENT_LENGTH": str(len(body) + 1),
        "wsgi.input": BytesIO(body),
    }
    setup_testing_defaults(environ)
    statuses = []
    response = b"".join(make_gate().wsgi(environ, lambda status, _: statuses.append(status)))

    assert ["400 Bad Request"] == statuses
    assert b"The body is shorter than its Content-Length" in response
