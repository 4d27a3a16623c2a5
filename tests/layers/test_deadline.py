"""Deadlines of requests."""

import asyncio
import threading

import pytest

from modelgate import ConfigurationError, Deadline, DeadlineExceeded, Gate, drive, mount, run
from modelgate.layers.deadline import parse_prefer_wait
from modelgate.testing import Client, StubHandler, request
from support.waiting import SOON


@pytest.mark.parametrize("seconds", [0, -1, "30", None, True, float("inf"), float("nan")])
def test_deadline_rejects_invalid_seconds(seconds):
    """A gate without a deadline uses None."""
    with pytest.raises(ConfigurationError, match="seconds"):
        Deadline(seconds)
    if seconds is not None:
        with pytest.raises(ConfigurationError, match="deadline: seconds"):
            Gate(keys="open", deadline=seconds)


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        ("wait=5", 5),
        ("respond-async, wait=10", 10),
        ('Wait = "007" ; x=1, wait=9', 7),
        ("wait=0", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=1e3", None),
        ("wait=12345678901", None),
        ("await=5", None),
        ("wait", None),
        ("return=minimal", None),
        ("wait=٣", None),
        ("", None),
    ],
)
def test_prefer_wait_sets_seconds(preferences, seconds):
    """Invalid values are ignored (RFC 7240, section 2)."""

    assert (float("inf") if seconds is None else seconds) == parse_prefer_wait(preferences)


def test_deadline_starts_with_arrival_of_request():
    """It includes the time in outer layers."""
    old_request, inner = request(), StubHandler()
    old_request.started -= 10
    layer = Deadline(5)

    def waits(request, call_next):
        yield from run(int)
        return (yield from call_next(request))

    with pytest.raises(DeadlineExceeded, match="the 5 s it may take"):
        drive(layer(old_request, lambda request: waits(request, inner)))
    assert [] == inner.requests


def test_deadline_ends_hanging_key_store(wrap):
    """The app is not called."""
    go_on = threading.Event()

    app = wrap(Deadline(0.05), HangingLayer(go_on))
    answer = Client(app).post("/raise", headers={"x-api-key": "some-key-that-is-long-enough"})
    go_on.set()

    assert 504 == answer.status
    assert "took longer" in answer.json()["error"]


class HangingLayer:
    """Layer that waits forever, on both interfaces."""

    def __init__(self, event):
        self._event = event

    def __call__(self, request, call_next):
        from modelgate import WorkerPool

        yield from WorkerPool(1, hang_timeout=30).run(self._event.wait, 30)
        return (yield from call_next(request))


def test_deadline_ends_incomplete_body():
    """The caller gets a response and uses no more resources."""

    async def silent():
        await asyncio.Event().wait()

    async def send_request():
        sent, scope = [], {"type": "http", "method": "POST", "path": "/api/predict", "headers": []}

        async def send(message):
            sent.append(message)

        await asyncio.wait_for(Gate(keys="open", deadline=0.05).asgi(scope, silent, send), SOON)
        return sent[0]["status"]

    assert 504 == asyncio.run(send_request())


def test_deadline_does_not_end_streamed_response():

    async def slow(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for index in range(3):
            await asyncio.sleep(0.03)
            await send({"type": "http.response.body", "body": b"%d" % index, "more_body": index < 2})

    answer = Client(mount.asgi.wrap(slow, Deadline(0.05))).get("/")

    assert (200, b"012") == (answer.status, answer.body)
