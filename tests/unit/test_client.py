"""The client, against gates in the same process and against servers that misbehave."""

import asyncio
import contextlib
import csv
import io
import itertools
import socket
import sys
import threading

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import (
    CSV,
    Deployment,
    Gate,
    Output,
    Prediction,
    RateLimit,
    Schema,
    Wait,
    adrive,
    drive,
    errors,
)
from modelgate.client import AsyncClient, Client, ClientError, ConnectionFailed, UnexpectedAnswer, session
from modelgate.client.errors import rows_at_fault
from modelgate.client.predictions import decoded
from modelgate.client.retry import Retry, retry_after
from modelgate.client.rows import records, rows_of
from modelgate.client.session import Session, endpoint_of
from modelgate.testing import Clock

KEY = "mg_the-key-of-the-client-tests"
URL = "http://app/churn"
SCHEMA = Schema.of(age=float, plan=["free", "pro"])
ROWS = [{"age": float(at), "plan": "pro"} for at in range(25)]


def churn(table):
    likely = np.clip(table["age"] / 100, 0, 1)
    labels = np.where(likely > 0.1, "yes", "no").astype(object)
    return Prediction([Output("churn", labels, ["no", "yes"], np.column_stack([1 - likely, likely]))])


def gate_of(model=churn, schema=SCHEMA, *, limits="100000/minute", layers=(), keys=None, **options):
    deployment = Deployment("churn", model, schema=schema, layers=layers, **options)
    return Gate([deployment], keys=keys or {KEY: "churn"}, limits=limits)


def client_of(gate, url=URL, key=KEY, **options):
    return Client(url, key=key, http=httpx.Client(transport=httpx.WSGITransport(gate.wsgi)), **options)


def asked(gate, interface, rows, **options):
    """The predictions of *rows*, by either client."""
    if interface == "wsgi":
        return client_of(gate, **options).predict(rows)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(gate.asgi))
    return asyncio.run(AsyncClient(URL, key=KEY, http=http, **options).predict(rows))


@pytest.fixture(params=["wsgi", "asgi"])
def interface(request):
    return request.param


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, without waiting."""
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        yield from ()

    monkeypatch.setattr(session, "sleep", sleep)
    return waited


# ---- rows


FRAMES = {
    "dicts": ROWS,
    "pandas": pd.DataFrame(ROWS, index=range(100, 125)),
    "polars": pl.DataFrame(ROWS),
    "CSV": CSV(pd.DataFrame(ROWS).to_csv(index=False).encode()),
}


@pytest.mark.parametrize("rows", FRAMES.values(), ids=FRAMES)
def test_rows_of_every_kind(interface, rows):
    """Are answered alike, in their order, with all that is told of them, in as many batches as it takes."""
    told = asked(gate_of(version="3"), interface, rows, batch_rows=10)

    assert ["no"] * 11 + ["yes"] * 14 == told.values
    assert ["yes", "no"] == told.classes
    assert [0.24, 0.76] == told.probabilities[24]
    assert ("3", 25, 3) == (told.version, len(told), len(set(told.request_ids)))


def test_one_row_and_no_row(interface):
    """A dict is one row; no rows need no request."""

    assert ["yes"] == asked(gate_of(), interface, ROWS[20]).values
    assert [] == asked(gate_of(), interface, []).values


def test_nulls_of_frames():
    """NaN, NaT and NA are null, numpy's numbers and timestamps what JSON says of them."""
    frame = pd.DataFrame(
        {
            "age": [1.5, np.nan],
            "count": pd.array([1, None], dtype="Int64"),
            "when": pd.to_datetime(["2027-01-31", None]),
        }
    )
    body = rows_of(frame).body()

    assert (
        b'[{"age":1.5,"count":1,"when":"2027-01-31T00:00:00"},{"age":null,"count":null,"when":null}]' == body
    )
    assert b'[{"age":2}]' == rows_of([{"age": np.int64(2)}]).body()
    assert (
        b'[{"age":null,"share":0.5}]'
        == rows_of([{"age": np.float16("nan"), "share": np.longdouble(0.5)}]).body()
    )


def test_dates_and_masks_of_numpy():
    """What a schema makes of them: a date is no number of nanoseconds, and what is masked is null."""
    date = np.datetime64("2027-01-31", "ns")

    assert b'[{"when":"2027-01-31T00:00:00"}]' == rows_of([{"when": date}]).body()
    assert b'[{"age":null}]' == rows_of([{"age": np.ma.masked}]).body()
    with pytest.raises(errors.InvalidInput, match="JSON cannot say"):
        rows_of([{"age": np.timedelta64(1, "ns")}]).body()


@pytest.mark.parametrize("rows", ["age\n1\n", 5, [5], b"age", pd.Series([1.0])], ids=repr)
def test_what_is_no_rows(rows):
    """Is told before anything is sent."""
    with pytest.raises(TypeError, match="accepts a dict, a list of dicts, a DataFrame or CSV"):
        client_of(gate_of()).predict(rows)


def test_what_json_cannot_say():
    """Is refused as an input."""
    infinite = [made("inf") for made in (float, np.float64, np.float32, np.float16, np.longdouble)]
    for value in (object(), *infinite, np.array(np.inf), np.array([1, 2]), "\ud800"):
        with pytest.raises(errors.InvalidInput, match="JSON cannot say"):
            client_of(gate_of()).predict({"age": value})


def test_two_columns_of_one_name():
    """Are refused: a row would have but one of their values."""
    frame = pd.DataFrame([[1.0, 2.0]], columns=["age", "age"])
    with pytest.raises(errors.InvalidInput, match="the column 'age' twice"):
        client_of(gate_of()).predict(frame)


def test_numbers_and_several_outputs(interface):
    """Of a number there are no classes; of several outputs a value is a dict."""
    number = asked(gate_of(lambda table: table["age"] * 2), interface, ROWS[:3])
    both = asked(gate_of(lambda table: {"a": table["age"], "b": table["age"] + 1}), interface, ROWS[:2])

    assert ([0.0, 2.0, 4.0], None, None) == (number.values, number.classes, number.probabilities)
    assert [{"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 2.0}] == both.values
    assert (None, None) == (both.classes, both.probabilities)


def test_classes_of_several_outputs(interface):
    """Are not told: which output a label belongs to cannot be seen for sure."""

    def model(table):
        likely = np.clip(table["age"] / 100, 0, 1)
        labels = np.where(likely > 0.1, 1, 0)
        return Prediction(
            [Output("a", labels, [0, 1], np.column_stack([1 - likely, likely])), Output("a_1", likely)]
        )

    told = asked(gate_of(model), interface, [ROWS[0], ROWS[20]], batch_rows=1)

    assert [{"a": 0, "a_1": 0.0}, {"a": 1, "a_1": 0.2}] == told.values
    assert (None, None) == (told.classes, told.probabilities)


@pytest.mark.parametrize("value", ["yes", "prediction", True, 5, None], ids=repr)
def test_what_is_no_number_and_has_no_classes(interface, value):
    """A function may say anything of a row."""
    told = asked(gate_of(lambda table: np.array([value] * len(table), dtype=object)), interface, ROWS[:2])

    assert ([value, value], None, None) == (told.values, told.classes, told.probabilities)


def test_one_class_is_no_number():
    """The only class of a model keeps its probability."""
    told = decoded(b'{"data":[{"prediction":1,"predictionValues":[{"value":1.0,"label":1}]}]}')

    assert ([1], [[1.0]]) == (told.classes, told.probabilities)


def test_warnings_are_told_once(interface):
    """Whatever the number of batches."""
    gate = gate_of(schema=SCHEMA.reading(unknown_levels="warn"))
    told = asked(gate, interface, [{"age": 1, "plan": "team"}] * 4, batch_rows=2)

    assert 1 == len(told.warnings)


# ---- batches


def test_batches_follow_the_servers_limits(interface):
    """Smaller ones are tried: the server's number of rows at once, halves where it only says too large."""
    by_rows = asked(gate_of(max_rows=7), interface, ROWS)
    by_bytes = asked(gate_of(), interface, ROWS, batch_bytes=100)
    by_rate = asked(
        gate_of(limits=[RateLimit("10/second; 100000/minute", cost="rows")]), interface, ROWS[:20], attempts=9
    )

    assert 4 == len(by_rows.request_ids)
    assert 25 / 3 <= len(by_bytes.request_ids)
    assert by_rows.values == by_bytes.values
    assert by_rows.values[:20] == by_rate.values


@pytest.mark.parametrize("told", [0, -1, 10**9, "many", None])
def test_a_number_of_rows_that_cannot_be(told):
    """Is not believed: halves are tried."""
    refusal = {"code": "invalid_input", "detail": "too many", "max_rows": told}
    row = {"prediction": 1.5, "predictionValues": []}
    client, got = scripted(
        httpx.Response(422, json=refusal), *[httpx.Response(200, json={"data": [row]})] * 2
    )

    assert [1.5, 1.5] == client.predict(ROWS[:2]).values
    assert 3 == len(got)


def test_a_row_too_large(interface):
    """Cannot be made smaller: the server's own error says so."""
    with pytest.raises(errors.BatchTooLarge, match="rate limit lets no more than 1"):
        asked(gate_of(limits=[RateLimit("1/minute", cost=lambda request: 2)]), interface, ROWS[:2])


def test_progress(interface):
    """After each batch: rows done, and all there are."""
    steps = []
    http = httpx.Client(transport=httpx.WSGITransport(gate_of().wsgi))
    Client(URL, key=KEY, http=http, batch_rows=10).predict(ROWS, progress=lambda *told: steps.append(told))

    assert [(10, 25), (20, 25), (25, 25)] == steps


@given(st.integers(1, 30), st.integers(20, 2000))
def test_any_batches_give_one_answer(rows, size):
    """How rows are parted changes nothing."""
    told = client_of(GATE, batch_rows=rows, batch_bytes=size).predict(ROWS)

    assert (WHOLE.values, WHOLE.probabilities) == (told.values, told.probabilities)


GATE = gate_of()
WHOLE = client_of(GATE).predict(ROWS)


# ---- CSV


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=2, max_size=2)
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_records_are_whole(cells, end, ended):
    """Whatever is quoted in them, and their bytes are those of the file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows([["a", "b"], *cells])
    raw = text.getvalue().encode()
    found = list(records(io.BytesIO(raw if ended else raw.removesuffix(end.encode()))))

    assert len(cells) + 1 == len(found)
    assert raw.replace(b"\r\n", b"\n") == b"".join(record for _, record in found).replace(b"\r\n", b"\n")
    assert list(itertools.accumulate((r.count(b"\n") for _, r in found[:-1]), initial=1)) == [
        n for n, _ in found
    ]


def test_empty_lines_are_no_records():
    """Wherever they stand; those in quotes are a cell's."""
    raw = b'a,b\n\n1,"x\n\ny"\n\r\n2,5" pipe\n\n'

    assert [(1, b"a,b\n"), (3, b'1,"x\n\ny"\n'), (7, b'2,5" pipe\n')] == list(records(io.BytesIO(raw)))


def test_a_quote_that_is_never_closed():
    """Is told with the line it opens in, before the rest of the file is in memory."""
    lines = itertools.chain([b"a,b\n", b"1,2\n", b'3,"4\n'], itertools.repeat(b"5,6\n"))
    with pytest.raises(errors.MalformedBody, match="Line 3 of the CSV is not readable: field larger"):
        list(records(lines))


def test_rows_are_counted_as_the_caller_does(interface):
    """Not as the batch they happened to be sent in does: in the message and by column, in CSV by row too."""
    rows = [*ROWS[:22], {"age": "old", "plan": "pro"}, {"age": "old", "plan": "team"}, *ROWS[:6]]
    with pytest.raises(errors.InvalidValues) as info:
        asked(gate_of(), interface, rows, batch_rows=10)
    with pytest.raises(errors.InvalidValues) as alone:
        asked(gate_of(), interface, rows, batch_rows=1)
    with pytest.raises(errors.MalformedBody, match=r"^Row 2 of the CSV has 1 cells, and the header 2"):
        asked(gate_of(), interface, CSV(b'age,plan\n1,pro\n2,"pro"\n3\n'), batch_rows=2)

    assert {
        "age": "must be a number (row 22, 23)",
        "plan": "must be one of free, pro (row 23)",
    } == info.value.errors
    assert "age must be a number (row 22, 23)" in str(info.value)
    assert "Invalid input data: age must be a number (row 22)" == str(alone.value)


def test_the_row_of_a_line():
    """A record may have several lines, and so may the header."""
    rows = rows_of(CSV(b'"a\nb",c\n1,2\n3,"4\n\n5"\n6,7\n'))

    assert [None, None, 0, 1, 1, 1, 2, None] == [rows.row_at(line) for line in range(1, 9)]


def test_rows_at_fault():
    """Each with all that is wrong in it; where some are left out, that is known."""
    told = {
        "a": "must be a number (row 1, 3); must not be null (row 2)",
        "b": "must be one of x (y), z (row 3)",
    }

    assert (
        {
            1: ["a must be a number"],
            3: ["a must be a number", "b must be one of x (y), z"],
            2: ["a must not be null"],
        },
        True,
    ) == rows_at_fault(told)
    assert ({1: ["a is odd"]}, False) == rows_at_fault({"a": "is odd (row 1 and 7 more)"})
    assert ({}, False) == rows_at_fault({"a": "is odd"})
    assert ({}, False) == rows_at_fault({})


# ---- errors


def test_missing_columns(interface):
    """The error of the gate, with its attributes and the id of the request."""
    with pytest.raises(errors.MissingColumns) as info:
        asked(gate_of(), interface, [{"age": 1}])

    assert ["plan"] == info.value.missing_columns
    assert f"request id {info.value.request_id}" in info.value.__notes__


def test_a_hidden_schema(interface):
    """Tells nothing of its columns, and the error is one of its kind all the same."""
    with pytest.raises(errors.InvalidInput, match="Invalid input data"):
        asked(gate_of(schema=SCHEMA.reading(reveal=False)), interface, [{"age": 1}])


@pytest.mark.parametrize(
    ("url", "key", "kind", "told"),
    [
        (URL, "mg_another-key", errors.Unauthorized, "See that the key is whole"),
        (URL, None, errors.Unauthorized, "No key was sent"),
        ("http://app/price", KEY, errors.InsufficientScope, "opens this deployment"),
        ("http://app/other/churn", KEY, errors.NotFound, "https://host/ml/churn"),
    ],
)
def test_what_a_gate_refuses(url, key, kind, told):
    """Is told with what to do, and never the key."""
    with pytest.raises(kind, match=told) as info:
        client_of(gate_of(), url, key).predict(ROWS)

    assert KEY not in repr(info.value) + str(info.value)


def test_a_failing_model(interface):
    """Is not asked again."""
    calls = []

    def fails(table):
        calls.append(table)
        raise ValueError("secret")

    with pytest.raises(errors.PredictionError, match="log of the server") as info:
        asked(gate_of(fails), interface, ROWS)

    assert 1 == len(calls)
    assert "secret" not in str(info.value)


def scripted(*answers, url="http://app/ml/churn", **options):
    """A client whose server gives these *answers*, and the requests it got."""
    left, got = list(answers), []

    def handle(request):
        got.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Client(url, key=KEY, http=httpx.Client(transport=httpx.MockTransport(handle)), **options), got


def page(status, text="<html>no</html>", **headers):
    return httpx.Response(status, text=text, headers={"content-type": "text/html; charset=utf-8", **headers})


DONE = httpx.Response(
    200, json={"data": [{"prediction": 1.5, "predictionValues": [{"value": 1.5, "label": "x"}]}]}
)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (page(404), "answered 404 with text/html, and that is no answer of a gate"),
        (page(200), "answered 200 with text/html"),
        (page(500), "answered 500 with text/html"),
        (httpx.Response(404, json={"detail": "Not Found"}), "answered 404 with application/json"),
        (httpx.Response(404, json=[]), "no answer of a gate"),
        (httpx.Response(204), "answered 204 with nothing that says what it is"),
        (
            page(301, location="https://else.where/ml/churn?a=b"),
            "on to https://else.where/ml/churn. The key is not",
        ),
        (page(307, location="/ml/churn/"), "on to the path /ml/churn/"),
        (httpx.Response(200, json={"data": []}), "answered 1 rows with 0 predictions"),
        (
            httpx.Response(200, json={"predictions": [1]}),
            "is no answer of the dialect datarobot: Object missing required field `data`",
        ),
    ],
)
def test_what_is_no_gate(answer, told):
    """Is told plainly, asked once, and sent no key elsewhere."""
    client, got = scripted(answer)
    with pytest.raises(UnexpectedAnswer, match=told) as info:
        client.predict(ROWS[0])

    assert 1 == len(got)
    assert isinstance(info.value, ClientError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, errors.Unauthorized), (403, errors.Forbidden), (413, errors.BodyTooLarge)],
)
def test_what_stands_before_a_gate(status, kind):
    """A proxy's refusal is of the kind its status says."""
    with pytest.raises(kind, match=f"app answered {status}"):
        scripted(page(status))[0].predict(ROWS[0])


# ---- trying again


BUSY = httpx.Response(
    503, json={"code": "overloaded", "detail": "The server is busy"}, headers={"retry-after": "7"}
)


@pytest.mark.parametrize(
    "answer",
    [
        BUSY,
        page(429, **{"retry-after": "7"}),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("Server disconnected"),
    ],
    ids=["503", "429", "refused", "cut", "disconnected"],
)
def test_what_is_tried_again(waits, answer):
    """A server that is busy, a limit that is reached, and a connection that is not there or was cut."""
    client, got = scripted(answer, answer, DONE)
    told = client.predict(ROWS[0])

    assert ([1.5], 3, 2) == (told.values, len(got), len(waits))
    assert got[0].content == got[2].content
    if isinstance(answer, httpx.Response):
        assert all(7 <= seconds <= 8 for seconds in waits)


@pytest.mark.parametrize("answer", [httpx.ReadTimeout("slow"), httpx.UnsupportedProtocol("ws"), page(502)])
def test_what_is_not_tried_again(waits, answer):
    """What would only be slow, or fail, once more."""
    client, got = scripted(answer)
    with pytest.raises(ClientError):
        client.predict(ROWS[0])

    assert ([], 1) == (waits, len(got))


def test_attempts_are_bounded(waits):
    """And the error of the last one says how many there were."""
    client, got = scripted(*[BUSY] * 3, attempts=3)
    with pytest.raises(errors.Overloaded, match="busy") as info:
        client.predict(ROWS[0])

    assert (3, 2, 7) == (len(got), len(waits), info.value.retry_after)
    assert "given up after 3 attempts" in info.value.__notes__


def test_a_wait_beyond_the_deadline(waits):
    """Is not begun: the caller is told at once when to come back."""
    client, got = scripted(page(429, **{"retry-after": "61"}), deadline=60)
    with pytest.raises(errors.RateLimitExceeded) as info:
        client.predict(ROWS[0])

    assert ([], 1, 61) == (waits, len(got), info.value.retry_after)


def test_full_jitter():
    """From nothing up to a bound that doubles, on top of what the server told."""
    low, high = (
        Retry(random=lambda: 0.0, clock=Clock(0)),
        Retry(attempts=99, random=lambda: 1.0, clock=Clock(0)),
    )

    assert [0, 0, 3] == [low.pause(1, None, 9), low.pause(3, None, 9), low.pause(1, 3.0, 9)]
    assert [0.5, 1, 2, 30] == [high.pause(at, None, 99) for at in (1, 2, 3, 50)]
    assert 3.5 == high.pause(1, 3.0, 9)
    assert None is low.pause(5, None, 9) is high.pause(1, 9.0, 9)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 59),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:50 GMT"}, 9),
        ({"retry-after": "Fri, 31 Dec 1999 23:58:59 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1" * 400}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    """Seconds, or a date, by the server's own clock where it tells it (RFC 9110, section 10.2.3)."""

    assert seconds == retry_after(headers, 946684740.0)


def test_waits_of_both_kinds(monkeypatch):
    """A wait blocks under one driver and is awaited under the other."""
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    wait = next(session.sleep(0.25))
    drive(session.sleep(0.25))
    asyncio.run(adrive(session.sleep(0.0)))

    assert isinstance(wait, Wait)
    assert [0.25] == slept


@contextlib.contextmanager
def cutting(cuts):
    """A server that cuts the connection of the first requests, and then answers."""
    body = DONE.content
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )

    def serve():
        for at in range(cuts + 1):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer if at == cuts else answer[: at * 20])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/ml/churn"
        thread.join()


@pytest.mark.parametrize("awaited", [False, True], ids=["Client", "AsyncClient"])
def test_a_cut_connection(waits, awaited):
    """Before and in the midst of an answer: the row is sent again, over a real socket."""

    async def ask(url):
        async with AsyncClient(url, http=None) as client:
            return await client.predict(ROWS[0])

    with cutting(2) as url:
        if awaited:
            told = asyncio.run(ask(url))
        else:
            with Client(url) as client:
                told = client.predict(ROWS[0])

    assert ([1.5], 2) == (told.values, len(waits))


@pytest.mark.parametrize("awaited", [False, True], ids=["Client", "AsyncClient"])
def test_an_answer_that_trickles(waits, awaited):
    """Is late when its time is over, however often something comes."""
    answered = threading.Event()

    def serve():
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while not answered.wait(0.05):
                connection.sendall(b" ")

    async def ask(url):
        async with AsyncClient(url, timeout=0.3) as client:
            await client.predict(ROWS[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/ml/churn"
        thread = threading.Thread(target=serve)
        thread.start()
        giving_up = threading.Timer(20, answered.set)
        giving_up.start()
        with pytest.raises(ConnectionFailed, match=r"did not answer within 0\.3 s"):
            if awaited:
                asyncio.run(ask(url))
            else:
                with Client(url, timeout=0.3) as client:
                    client.predict(ROWS[0])
        giving_up.cancel()
        answered.set()
        thread.join()

    assert [] == waits


def test_nobody_there(waits):
    """Is told with the address, and what to see to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}/ml/churn", attempts=2) as client,
        pytest.raises(ConnectionFailed, match=f"127.0.0.1:{port} cannot be reached .* see that the address"),
    ):
        client.predict(ROWS[0])

    assert 1 == len(waits)


# ---- options


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://host/churn", "http://host/deployments/churn/predictions"),
        ("https://host:8443/ml/churn/", "https://host:8443/ml/deployments/churn/predictions"),
        ("http://[::1]:80/ml/deployments/churn", "http://[::1]:80/ml/deployments/churn/predictions"),
    ],
)
def test_where_a_deployment_is_asked(url, endpoint):
    """Below the mount point and its name, or the URL that shows its metadata."""

    assert endpoint == endpoint_of(url)


@pytest.mark.parametrize(
    ("url", "options", "told"),
    [
        ("host/ml/churn", {}, "accepts that of a deployment"),
        ("ftp://host/churn", {}, "accepts that of a deployment"),
        ("http://[host/churn", {}, "accepts that of a deployment"),
        (None, {}, "accepts that of a deployment"),
        ("http://host/", {}, "names no deployment"),
        ("http://me:s3cret@host/churn", {}, "without user, password"),
        ("http://host/churn?key=s3cret", {}, "without user, password"),
        (URL, {"key": "s3cret\n"}, "key: accepts printable ASCII"),
        (URL, {"key": ""}, "key: accepts printable ASCII"),
        (URL, {"attempts": 0}, "attempts=0: accepts a whole number from 1"),
        (URL, {"deadline": 0}, "deadline=0: accepts seconds"),
        (URL, {"timeout": float("nan")}, "timeout=nan: accepts seconds"),
        (URL, {"batch_rows": 0}, "batch_rows=0: accepts a whole number from 1"),
        (URL, {"batch_bytes": 1.5}, "batch_bytes=1.5: accepts a whole number from 1"),
    ],
)
def test_options_that_cannot_work(url, options, told):
    """Are refused when the client is made, and no secret is shown."""
    with pytest.raises(errors.ConfigurationError, match=told) as info:
        Client(url, http=httpx.Client(), **options)

    assert "s3cret" not in str(info.value)


def test_the_key_is_not_shown():
    """Neither the client nor its parts show it, and it goes into one header field alone."""
    client, got = scripted(DONE)
    client.predict(ROWS[0])

    assert "Client('http://app/ml/churn')" == repr(client)
    assert f"Bearer {KEY}" == got[0].headers["authorization"]
    assert KEY not in str(got[0].url) + repr(got[0].headers) + got[0].content.decode()


def test_a_client_given_stays_open():
    """Whoever made it closes it."""
    http = httpx.Client()
    with Client(URL, http=http):
        pass

    assert not http.is_closed


def test_httpx_is_missing(monkeypatch):
    """Is told with the extra to install."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(errors.ConfigurationError, match=r'pip install "modelgate\[client\]"'):
        Client(URL)


def test_a_session_tells_its_waits(waits):
    """For whoever shows them."""
    told = []
    http = scripted(BUSY, DONE)[0]._session.http
    options = {"batch_rows": 1, "batch_bytes": 1000, "on_wait": lambda *wait: told.append(wait)}
    drive(Session(URL, None, Retry(), http, **options).predict(ROWS[0]))

    assert [(waits[0], "The server is busy")] == [(seconds, str(error)) for seconds, error in told]
