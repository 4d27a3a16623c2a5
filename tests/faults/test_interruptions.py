"""An exception from a signal handler, wherever it comes, leaves the deployment as it was."""

import dis
import functools
import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import modelgate
from modelgate import Admission, Concurrency, Deployment, Gate, Schema
from modelgate.flow.threads import Share, Threads
from modelgate.testing import Client
from waiting import SOON

SCHEMA = Schema.of(x=float)
# What may come of a request that is interrupted: an exception, or an error of the gate's.
ENDS = (None, 400, 500, 503)
PACKAGE = str(Path(modelgate.__file__).parent)
# Of the threads of a gate no line is safe, but all points at which a signal interrupts: see the last test.
LEFT_OUT = ("threads.py", "testing.py")


class Interrupt(BaseException):
    """Like KeyboardInterrupt, which passes in the main thread alone."""


class SoftLimit(Exception):
    """Like Celery's SoftTimeLimitExceeded."""


@functools.cache
def with_exits(code):
    """The offsets at which a line event tells of the end of a ``with``: no signal handler runs there."""
    begun, exits, line = set(), set(), None
    for instruction in dis.get_instructions(code):
        if instruction.starts_line is not None:
            line = instruction.positions.lineno
            if line in begun:
                exits.add(instruction.offset)
        if instruction.opname == "BEFORE_WITH":
            begun.add(line)
    return exits


@functools.cache
def signal_points(code):
    """The offsets before which CPython runs signal handlers, where an exception has the same handler as a
    signal's would.
    """
    table = dis._parse_exception_table(code)

    def handler(offset):
        return [entry.target for entry in table if entry.start <= offset < entry.end]

    instructions = list(dis.get_instructions(code))
    pairs = itertools.pairwise(instructions)
    checks = {"RESUME", "CALL", "CALL_FUNCTION_EX"}
    return {
        after.offset
        for before, after in pairs
        if (before.opname in checks and handler(before.offset) == handler(after.offset))
        or after.opname in ("BEFORE_WITH", "JUMP_BACKWARD")
    }


def is_line(frame, event):
    return event == "line" and frame.f_lasti not in with_exits(frame.f_code)


def is_signal_point(frame, event):
    return event == "opcode" and frame.f_lasti in signal_points(frame.f_code)


POINTS = {"line": is_line, "signal": is_signal_point}


class Interruption:
    """Raises *error* in this thread at the *number*-th point of modelgate's code."""

    def __init__(self, kind, error, number, left_out):
        self.left_out = left_out
        self.is_point, self.opcodes = POINTS[kind], kind == "signal"
        self.error, self.left = error, number
        self.where = None

    def _call(self, frame, event, arg):
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) or name.endswith(self.left_out):
            return None
        frame.f_trace_opcodes = self.opcodes
        return self._step

    def _step(self, frame, event, arg):
        if self.where is None and self.is_point(frame, event):
            self.left -= 1
            if self.left < 0:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise self.error
        return self._step

    def run(self, call):
        """What *call* returns; None where it is interrupted."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            return call()
        except (self.error, modelgate.PredictionError, modelgate.Overloaded):
            return None
        finally:
            sys.settrace(before)


def each_interruption(kind, error, attempt, left_out=LEFT_OUT, least=50):
    """Call *attempt* with an interruption at each point it comes to, until it comes to the end."""
    number = 0
    while True:
        interruption = Interruption(kind, error, number, left_out)
        attempt(interruption)
        if interruption.where is None:
            break
        number += 1
    assert number > least


class Doubler:
    """A fitted estimator."""

    n_features_in_ = 1

    def __init__(self):
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()
        self.go_on.set()

    def predict(self, rows):
        self.entered.release()
        assert self.go_on.wait(SOON)
        return rows[:, 0] * 2


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def model():
    model = Doubler()
    yield model
    model.go_on.set()


def make_gate(deployed):
    """A gate with layers that count what is in flight."""
    layers = [Admission(2), Concurrency(2, by="address")]
    return Gate([Deployment("double", deployed, schema=SCHEMA, plans=False)], layers=layers, keys="open")


def function(table):
    return table["x"] * 2


def ask(gate, x):
    return gate.score("double", {"x": x}).values.tolist()


def ask_by_http(gate, x):
    answer = Client(gate.wsgi).post("/predict/double", json=[{"x": x}])
    return answer.json()["result"] if answer.status == 200 else answer.status


def check(gate, pool, where):
    """The deployment answers any thread, and nothing of what was interrupted is left."""
    told = pool.submit(ask, gate, 3).result(SOON), ask(gate, 4), ask_by_http(gate, 5)
    drained = gate.drain("double", SOON)
    gate.resume("double")
    tally = gate._loader.tallies["double"]
    admission, concurrency = gate.layers
    left = [tally.running, tally.rows_waiting, gate._entries["double"].in_flight._asking]
    left += [admission.in_flight, concurrency._in_flight, gate.metrics._requests._under_way]

    assert ([6.0], [8.0], [10.0], True) == (*told, drained), where
    assert not any(left), where


KINDS = pytest.mark.parametrize("kind", POINTS)
ERRORS = pytest.mark.parametrize("error", [Interrupt, SoftLimit])
DEPLOYED = pytest.mark.parametrize("deployed", ["estimator", "function"])


@KINDS
@ERRORS
@DEPLOYED
@pytest.mark.parametrize("way", [ask, ask_by_http])
def test_a_deployment_survives_an_interruption_anywhere(pool, model, kind, error, deployed, way):
    """The next request is answered, a drain ends, and nothing is counted as running or in flight."""
    gate = make_gate(model if deployed == "estimator" else function)
    ask(gate, 1)

    def attempt(interruption):
        assert interruption.run(lambda: way(gate, 1)) in ([2.0], *ENDS), interruption.where
        check(gate, pool, interruption.where)

    each_interruption(kind, error, attempt)


@KINDS
@ERRORS
@pytest.mark.parametrize("way", [ask, ask_by_http])
def test_an_interruption_is_for_one_caller_alone(pool, model, kind, error, way):
    """Another thread, whose table is in the same batch, gets its own answer."""
    gate = make_gate(model)
    tally = gate._loader.tallies["double"]
    ask(gate, 1)

    def attempt(interruption):
        model.go_on.clear()
        while model.entered.acquire(blocking=False):
            pass
        first = pool.submit(ask, gate, 1)
        assert model.entered.acquire(timeout=SOON)
        second = pool.submit(interruption.run, lambda: way(gate, 2))
        wait_until(lambda: tally.rows_waiting == 1 or second.done())
        waiting = tally.rows_waiting
        third = pool.submit(ask, gate, 3)
        wait_until(lambda: tally.rows_waiting == waiting + 1)
        model.go_on.set()

        assert [[2.0], [6.0]] == [asked.result(SOON) for asked in (first, third)], interruption.where
        assert second.result(SOON) in ([4.0], *ENDS), interruption.where
        check(gate, pool, interruption.where)

    each_interruption(kind, error, attempt)


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize(
    "call", [Share.submit, partial(Share.submit, now=True), partial(Share.result, seconds=SOON)]
)
def test_threads_survive_a_signal_anywhere(call, busy):
    """What others queued is called, and as many calls at once as there are threads."""

    def attempt(interruption):
        threads = Threads(2)
        shares = one, other = threads.share(), threads.share()
        go_on, both = threading.Event(), threading.Barrier(3)
        calls = [share.submit(partial(go_on.wait, SOON)) for share in shares]
        calls.append(other.submit(lambda: True))
        if not busy:
            go_on.set()
            wait_until(lambda: not (one.live or other.live))
        interruption.run(lambda: call(one, lambda: None))
        go_on.set()
        told = [asked.result(SOON) for asked in calls]
        wait_until(lambda: not (one.live or other.live))
        at_once = [share.submit(partial(both.wait, SOON)) for share in shares]
        both.wait(SOON)

        assert [True] * 3 == told, interruption.where
        assert {0, 1, 2} > {asked.result(SOON) for asked in at_once}, interruption.where

    each_interruption("signal", Interrupt, attempt, left_out=(), least=10)


def wait_until(condition):
    for _ in range(SOON * 1000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("it does not come to be")
