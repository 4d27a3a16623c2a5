"""A bound on the time one request may take."""

import asyncio
import threading

import pytest

from modelgate import ConfigurationError, Deadline, DeadlineExceeded, Gate, drive, mount, run
from modelgate.layers.deadline import seconds_asked
from modelgate.testing import Client, Inner, request


@pytest.mark.parametrize("seconds", [0, -1, "30", None, True, float("inf"), float("nan")])
def test_what_is_no_time_is_refused(seconds):
    """At construction, by name; a gate without a deadline is asked for by None."""
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
def test_what_a_caller_prefers(preferences, seconds):
    """Whole seconds from one; what is anything else changes nothing (RFC 7240, section 2)."""

    assert (float("inf") if seconds is None else seconds) == seconds_asked(preferences)


def test_the_time_counts_from_when_the_request_came():
    """What other layers have waited for before is part of it."""
    asked, inner = request(), Inner()
    asked.started -= 10
    layer = Deadline(5)

    def waits(request, call_next):
        yield from run(int)
        return (yield from call_next(request))

    with pytest.raises(DeadlineExceeded, match="the 5 s it may take"):
        drive(layer(asked, lambda request: waits(request, inner)))
    assert [] == inner.requests


def test_around_an_app_its_layers_are_bounded(wrap):
    """A key store that hangs is given up, and the app is not called."""
    go_on = threading.Event()

    app = wrap(Deadline(0.05), Hangs(go_on))
    answer = Client(app).post("/raise", headers={"x-api-key": "some-key-that-is-long-enough"})
    go_on.set()

    assert 504 == answer.status
    assert "took longer" in answer.json()["error"]


class Hangs:
    """A layer that waits for what does not come, in a form that both interfaces can give up."""

    def __init__(self, event):
        self._event = event

    def __call__(self, request, call_next):
        from modelgate import Workers

        yield from Workers(1, patience=30).run(self._event.wait, 30)
        return (yield from call_next(request))


def test_a_body_that_does_not_come():
    """A caller who sends one byte and no more is answered, and holds nothing."""

    async def silent():
        await asyncio.Event().wait()

    async def asked():
        sent, scope = [], {"type": "http", "method": "POST", "path": "/api/predict", "headers": []}

        async def send(message):
            sent.append(message)

        await asyncio.wait_for(Gate(keys="open", deadline=0.05).asgi(scope, silent, send), 30)
        return sent[0]["status"]

    assert 504 == asyncio.run(asked())


def test_around_an_app_its_body_streams_for_as_long_as_it_likes():
    """The time of the app is its own."""

    async def slow(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for at in range(3):
            await asyncio.sleep(0.03)
            await send({"type": "http.response.body", "body": b"%d" % at, "more_body": at < 2})

    answer = Client(mount.asgi.wrap(slow, Deadline(0.05))).get("/")

    assert (200, b"012") == (answer.status, answer.body)
