"""Locks that are acquired again by garbage collection in the same thread."""

import threading

import pytest

from modelgate import Admission, ConcurrencyLimit, Metrics, drive
from modelgate.inference.model_metrics import ModelMetrics
from modelgate.layers._key_lookups import AddressSlots, LookupQueue, LookupTurn
from modelgate.testing import StubHandler, request
from support.waiting import SOON


def end_request(layer, sent):
    drive(layer(sent, StubHandler()))
    sent.close()


def end_call(metrics, _):
    metrics.measure("idle", 1, int)


def leave_slot(slots, sent):
    slots.leave(sent)


def leave_queue(queue, _):
    queue.leave(LookupTurn("192.0.2.1", None))


KINDS = [
    (lambda: AddressSlots(1, 1), leave_slot),
    (lambda: LookupQueue(1, 1), leave_queue),
    (Metrics, end_request),
    (lambda: Admission(1), end_request),
    (lambda: ConcurrencyLimit(1), end_request),
    (ModelMetrics, end_call),
]


@pytest.mark.parametrize(
    ("make", "end"),
    KINDS,
    ids=["AddressSlots", "LookupQueue", "Metrics", "Admission", "ConcurrencyLimit", "ModelMetrics"],
)
def test_request_can_end_while_its_thread_holds_the_lock(make, end):
    """The garbage collector runs in any thread, and closes the flow of an abandoned request."""
    lockable, sent, ended = make(), request(), threading.Event()

    def collect():
        with lockable._lock:
            end(lockable, sent)
        ended.set()

    threading.Thread(target=collect, daemon=True).start()

    assert ended.wait(SOON)
