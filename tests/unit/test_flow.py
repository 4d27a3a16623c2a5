"""Flows: the order of layers, and the two drivers."""

import asyncio
import contextvars
import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from modelgate.errors import ConfigurationError
from modelgate.flow import Wait, Workers, adrive, checked_layers, drive, run, stack, wait_for
from waiting import SOON


def under_asyncio(flow):
    return asyncio.run(asyncio.wait_for(adrive(flow), SOON))


@pytest.fixture(params=[drive, under_asyncio], ids=["drive", "adrive"])
def perform(request):
    """Either driver."""
    return request.param


async def _value(value):
    return value


def wait(value):
    """A wait that gives *value*."""
    return Wait(sync=lambda: value, aio=lambda: _value(value))


def failing(error):
    """A wait that fails."""

    def fail():
        raise error

    async def afail():
        raise error

    return Wait(sync=fail, aio=afail)


def echo(request):
    yield from ()
    return request


class Named:
    """A layer that logs its way in and out."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def __call__(self, request, call_next):
        self.log.append(f"{self.name} in")
        try:
            return (yield from call_next(request + self.name)) + self.name.upper()
        finally:
            self.log.append(f"{self.name} out")


def test_the_first_layer_is_outermost(perform):
    """Layers run in their order on the way in, and in the opposite order on the way out."""
    log = []
    answer = perform(stack([Named("a", log), Named("b", log)], echo)(">"))

    assert ">abBA" == answer
    assert ["a in", "b in", "b out", "a out"] == log


def test_finally_runs_where_the_handler_fails(perform):
    """The way out of every layer runs where the handler raises."""
    log = []

    def handler(request):
        yield failing(KeyError("inner"))

    with pytest.raises(KeyError, match="inner"):
        perform(stack([Named("a", log), Named("b", log)], handler)(""))

    assert ["a in", "b in", "b out", "a out"] == log


def test_a_layer_recovers(perform):
    """What a layer catches from a wait is over; the flow goes on."""

    def handler(request):
        try:
            yield failing(KeyError("inner"))
        except KeyError:
            return (yield wait("recovered"))

    assert "recovered" == perform(handler(None))


@pytest.mark.parametrize("request_", ["good", "bad"])
def test_a_layer_that_only_checks_is_a_plain_function(perform, request_):
    """A layer may be a plain function that raises or returns the call."""

    def only_good(request, call_next):
        if request == "bad":
            raise ValueError(request)
        return call_next(request)

    handler = stack([Named("a", []), only_good], echo)
    if request_ == "good":
        assert "goodaA" == perform(stack([only_good, Named("a", [])], echo)("good"))
    else:
        with pytest.raises(ValueError, match="bad"):
            perform(stack([only_good], echo)("bad"))
        assert "bad" + "aA" == perform(handler("bad"))


def test_a_stack_of_no_layers_is_the_handler(perform):
    """Without layers nothing stands around the handler."""

    assert stack([], echo) is echo


@pytest.mark.parametrize("layer", [None, "key", 3, Named, int], ids=repr)
@pytest.mark.parametrize("build", [lambda layers: stack(layers, echo), checked_layers])
def test_what_is_no_layer_is_refused_at_construction(build, layer):
    """A value that cannot be called, and a class in place of its instance, are refused by name."""
    with pytest.raises(ConfigurationError) as info:
        build([Named("a", []), layer])

    assert repr(layer) in str(info.value)


def test_run_calls_in_this_thread_under_drive():
    """The driver for WSGI calls where it stands."""

    assert threading.get_ident() == drive(run(threading.get_ident))


def test_run_calls_in_another_thread_under_adrive():
    """The driver for ASGI never runs a call on the event loop."""

    async def main():
        return threading.get_ident(), await adrive(run(threading.get_ident))

    loop, called = asyncio.run(main())

    assert loop != called


variable = contextvars.ContextVar("variable", default="default")


def test_run_sees_the_callers_context_variables(perform):
    """A call sees the context variables of whoever asked."""

    def flow():
        token = variable.set("caller's")
        try:
            return (yield from run(variable.get))
        finally:
            variable.reset(token)

    assert "caller's" == perform(flow())


def test_a_function_that_hangs_leaves_threads_to_the_others():
    """Whatever layers and gates they are of: each function has at most half of the threads."""
    go_on = threading.Event()

    def hang():
        assert go_on.wait(SOON)

    async def main():
        hanging = [asyncio.create_task(adrive(run(hang))) for _ in range(64)]
        try:
            return await asyncio.wait_for(adrive(run(len, "abc")), SOON)
        finally:
            go_on.set()
            await asyncio.gather(*hanging)

    assert 3 == asyncio.run(main())


def test_run_hands_over_arguments(perform):
    """Positional and keyword arguments reach the function."""

    assert 17 == perform(run(int, "11", base=16))


def test_workers_bound_concurrency():
    """Two threads run two calls at once, and never a third."""
    workers, pair, lock = Workers(threads=2), threading.Barrier(2), threading.Lock()
    running, most = set(), []

    def call(at):
        with lock:
            running.add(at)
            most.append(len(running))
        pair.wait(SOON)
        with lock:
            running.discard(at)
        pair.wait(SOON)

    async def main():
        await asyncio.gather(*(adrive(workers.run(call, at)) for at in range(10)))

    asyncio.run(main())

    assert 2 == max(most)
    assert 10 == len(most)


@pytest.mark.parametrize("threads", [0, -1])
def test_workers_refuse_no_threads(threads):
    """A pool without threads would never answer."""
    with pytest.raises(ConfigurationError, match="threads"):
        Workers(threads)


def test_workers_start_no_thread_before_their_first_use():
    """Making workers, and using them under WSGI, starts nothing."""
    before = threading.active_count()
    drive(Workers(4).run(int))

    assert before == threading.active_count()


FORKING = """
import asyncio, os, signal
from modelgate.flow import Workers, adrive
workers = Workers(1)
assert asyncio.run(adrive(workers.run(os.getpid))) == os.getpid()
child = os.fork()
if not child:
    signal.alarm(300)  # dies where it would hang
    os._exit(0 if asyncio.run(adrive(workers.run(os.getpid))) == os.getpid() else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")
def test_workers_survive_a_fork():
    """A forked child makes threads of its own: those of its parent are not there."""
    done = subprocess.run([sys.executable, "-c", FORKING], timeout=SOON, check=False)

    assert 0 == done.returncode


def test_a_call_that_still_queues_is_never_made_once_cancelled():
    """Cancelling a request whose call waits for a thread spares the call."""
    workers, started, released, made = Workers(threads=1), threading.Event(), threading.Event(), []

    def first():
        started.set()
        assert released.wait(SOON)

    async def main():
        busy = asyncio.create_task(adrive(workers.run(first)))
        await asyncio.to_thread(started.wait, SOON)
        queued = asyncio.create_task(adrive(workers.run(made.append, "second")))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)
        released.set()
        await busy
        await adrive(workers.run(made.append, "third"))

    asyncio.run(main())

    assert ["third"] == made


def test_stop_iteration_from_a_call_is_a_runtime_error(perform):
    """StopIteration out of a call neither ends the flow nor hangs it (PEP 479)."""
    with pytest.raises(RuntimeError):
        perform(run(next, iter(())))


def test_stop_iteration_from_a_future_is_a_runtime_error(perform):
    """StopIteration that a future carries neither ends the flow nor hangs it."""
    future = Future()
    future.set_running_or_notify_cancel()
    future.set_exception(StopIteration())
    with pytest.raises(RuntimeError):
        perform(wait_for(future))


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), GeneratorExit()], ids=repr)
def test_any_exception_of_a_wait_reaches_the_flow(perform, error):
    """What a wait raises is raised in the flow, even what is no Exception."""
    caught = []

    def flow():
        try:
            yield failing(error)
        except BaseException as found:
            caught.append(found)

    perform(flow())

    assert [error] == caught


def test_cancellation_runs_finally_blocks():
    """A cancelled request leaves through every finally, innermost first."""
    log = []

    async def main():
        blocked = asyncio.Event()

        def handler(request):
            yield Wait(sync=lambda: None, aio=blocked.wait)

        task = asyncio.create_task(adrive(stack([Named("a", log), Named("b", log)], handler)("")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert ["a in", "b in", "b out", "a out"] == log


def test_a_cancelled_flow_may_still_wait_on_its_way_out():
    """A finally block may wait, for instance to give something back."""
    log = []

    async def main():
        blocked = asyncio.Event()

        def flow():
            try:
                yield Wait(sync=lambda: None, aio=blocked.wait)
            finally:
                log.append((yield from run(lambda: "given back")))

        task = asyncio.create_task(adrive(flow()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())

    assert ["given back"] == log


def test_one_cancelled_waiter_leaves_the_others():
    """Cancelling one that waits for a running future takes nothing from the rest."""
    future = Future()
    future.set_running_or_notify_cancel()

    async def main():
        tasks = [asyncio.create_task(adrive(wait_for(future))) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        future.set_result("loaded")
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(main())

    assert isinstance(first, asyncio.CancelledError)
    assert ["loaded", "loaded"] == others


def test_who_comes_too_late_leaves_nothing_on_a_future():
    """A load that hangs costs nothing for each request that is refused because of it."""
    callbacks = []

    class Counting(Future):
        def add_done_callback(self, fn):
            callbacks.append(fn)

    async def main():
        for _ in range(10):
            with pytest.raises(TimeoutError):
                await adrive(wait_for(Counting(), 0))

    asyncio.run(main())

    assert [] == callbacks


def test_a_finished_future_is_not_waited_for(perform):
    """The result of a future that is done is there at once."""
    future = Future()
    future.set_result(7)

    assert 7 == perform(wait_for(future))


def test_forgetting_yield_from_before_run_is_an_error_at_once(perform):
    """A flow yielded in place of a wait is refused where it is yielded."""

    def flow():
        return (yield run(int))

    with pytest.raises(AttributeError):
        perform(flow())


def test_a_layer_that_returns_no_flow_is_an_error_at_once(perform):
    """A layer that returns its answer plainly is found out by the layer around it."""

    def plain(request, call_next):
        return 200

    with pytest.raises(TypeError):
        perform(stack([Named("a", []), plain], echo)(""))
    with pytest.raises(AttributeError):
        perform(stack([plain], echo)(""))


def _waiting():
    log = []

    def flow():
        try:
            log.append((yield wait("never performed")))
        except KeyError as error:
            log.append(error)
        return (yield wait("last"))

    waiting = flow()
    next(waiting)
    return waiting, log


def test_adrive_continues_a_flow_that_waits():
    """The value given is what the waiting flow receives."""
    flow, log = _waiting()

    assert "last" == asyncio.run(adrive(flow, "first"))
    assert ["first"] == log


def test_adrive_continues_a_flow_with_an_exception():
    """An exception given is thrown into the waiting flow."""
    flow, log = _waiting()
    error = KeyError("thrown")

    assert "last" == asyncio.run(adrive(flow, error))
    assert [error] == log


def test_a_flow_is_stepped_by_hand():
    """What a flow waits for can be looked at, and answered, without a driver."""
    flow = stack([Named("a", [])], lambda request: run(int, "5"))("")
    effect = next(flow)

    assert 5 == effect.sync()
    with pytest.raises(StopIteration) as stop:
        flow.send("answer")
    assert "answerA" == stop.value.value
