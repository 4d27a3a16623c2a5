"""Flows, stacks of layers, and the two drivers."""

import asyncio
import contextvars
import subprocess
import sys
import threading
from concurrent.futures import Future
from functools import partial

import pytest

from modelgate.errors import ConfigurationError
from modelgate.flow import Wait, WorkerPool, adrive, drive, run, stack, validate_layers, wait_for
from support.waiting import SOON


def under_asyncio(flow):
    return asyncio.run(asyncio.wait_for(adrive(flow), SOON))


@pytest.fixture(params=[drive, under_asyncio], ids=["drive", "adrive"])
def perform(request):
    """Run a flow with one of the drivers."""
    return request.param


async def _value(value):
    return value


def wait(value):
    """Return a wait with the result *value*."""
    return Wait(sync=lambda: value, aio=lambda: _value(value))


def fail_with(error):
    """Return a wait that raises *error*."""

    def fail():
        raise error

    async def afail():
        raise error

    return Wait(sync=fail, aio=afail)


def echo(request):
    yield from ()
    return request


class Named:
    """Layer that logs when it is entered and left."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def __call__(self, request, call_next):
        self.log.append(f"{self.name} in")
        try:
            return (yield from call_next(request + self.name)) + self.name.upper()
        finally:
            self.log.append(f"{self.name} out")


def test_stack_puts_the_first_layer_outermost(perform):
    log = []
    answer = perform(stack([Named("a", log), Named("b", log)], echo)(">"))

    assert ">abBA" == answer
    assert ["a in", "b in", "b out", "a out"] == log


def test_finally_of_layers_runs_if_the_handler_fails(perform):
    log = []

    def handler(request):
        yield fail_with(KeyError("inner"))

    with pytest.raises(KeyError, match="inner"):
        perform(stack([Named("a", log), Named("b", log)], handler)(""))

    assert ["a in", "b in", "b out", "a out"] == log


def test_flow_can_catch_the_error_of_a_wait(perform):
    def handler(request):
        try:
            yield fail_with(KeyError("inner"))
        except KeyError:
            return (yield wait("recovered"))

    assert "recovered" == perform(handler(None))


@pytest.mark.parametrize("request_", ["good", "bad"])
def test_layer_may_be_a_plain_function(perform, request_):
    """It raises an error, or returns the flow of the next handler."""

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


def wrap_answer(request, call_next):
    return f"({(yield from call_next(request))})"


def pass_on(*args, **kwargs):
    """Call the layer `wrap_answer`, as a decorator would."""
    return wrap_answer(*args, **kwargs)


class Static:
    __call__ = staticmethod(wrap_answer)


class Method:
    def __call__(self, request, call_next, /):
        return wrap_answer(request, call_next)

    def with_default(self, request, call_next, brackets="()"):
        return wrap_answer(request, call_next)

    def with_option(self, request, call_next, *, brackets="()"):
        return wrap_answer(request, call_next)


LAYERS = [
    wrap_answer,
    pass_on,
    partial(wrap_answer),
    lambda request, call_next: wrap_answer(request, call_next),
    Static(),
    Method(),
    Method().__call__,
    Method().with_default,
    Method().with_option,
]


@pytest.mark.parametrize(
    "layer", LAYERS, ids=lambda layer: getattr(layer, "__qualname__", type(layer).__name__)
)
def test_stack_accepts_everything_that_is_called_with_a_request_and_the_next_handler(perform, layer):
    """Twice, so that each has its own next handler."""
    assert "((request))" == perform(stack([layer, layer], echo)("request"))
    assert "(request)" == perform(stack([layer], echo)("request"))


def test_stack_without_layers_is_the_handler(perform):
    assert stack([], echo) is echo


@pytest.mark.parametrize("layer", [None, "key", 3, Named, int], ids=repr)
@pytest.mark.parametrize("build", [lambda layers: stack(layers, echo), validate_layers])
def test_stack_rejects_values_that_are_not_layers(build, layer):
    """Among them a class in place of its instance."""
    with pytest.raises(ConfigurationError) as info:
        build([Named("a", []), layer])

    assert repr(layer) in str(info.value)


def test_run_calls_in_the_same_thread_under_drive():
    assert threading.get_ident() == drive(run(threading.get_ident))


def test_run_calls_in_another_thread_under_adrive():
    async def main():
        return threading.get_ident(), await adrive(run(threading.get_ident))

    loop, called = asyncio.run(main())

    assert loop != called


variable = contextvars.ContextVar("variable", default="default")


def test_run_has_the_context_variables_of_the_caller(perform):
    def flow():
        token = variable.set("caller's")
        try:
            return (yield from run(variable.get))
        finally:
            variable.reset(token)

    assert "caller's" == perform(flow())


def test_run_reserves_threads_for_functions_that_do_not_hang():
    """Each function occupies half of the threads at most."""
    may_end = threading.Event()

    def hang():
        assert may_end.wait(SOON)

    async def main():
        hanging = [asyncio.create_task(adrive(run(hang))) for _ in range(64)]
        try:
            return await asyncio.wait_for(adrive(run(len, "abc")), SOON)
        finally:
            may_end.set()
            await asyncio.gather(*hanging)

    assert 3 == asyncio.run(main())


def test_run_passes_arguments(perform):
    assert 17 == perform(run(int, "11", base=16))


def test_worker_pool_limits_concurrency():
    workers, pair, lock = WorkerPool(threads=2), threading.Barrier(2), threading.Lock()
    running, counts = set(), []

    def call(number):
        with lock:
            running.add(number)
            counts.append(len(running))
        pair.wait(SOON)
        with lock:
            running.discard(number)
        pair.wait(SOON)

    async def main():
        await asyncio.gather(*(adrive(workers.run(call, number)) for number in range(10)))

    asyncio.run(main())

    assert 2 == max(counts)
    assert 10 == len(counts)


@pytest.mark.parametrize("threads", [0, -1])
def test_worker_pool_rejects_less_than_one_thread(threads):
    with pytest.raises(ConfigurationError, match="threads"):
        WorkerPool(threads)


def test_worker_pool_starts_threads_on_demand():
    """Under WSGI it needs none."""
    before = threading.active_count()
    drive(WorkerPool(4).run(int))

    assert before == threading.active_count()


FORKING = """
import asyncio, os, signal
from modelgate.flow import WorkerPool, adrive
workers = WorkerPool(1)
assert asyncio.run(adrive(workers.run(os.getpid))) == os.getpid()
child = os.fork()
if not child:
    signal.alarm(300)  # ends the child if it hangs
    os._exit(0 if asyncio.run(adrive(workers.run(os.getpid))) == os.getpid() else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs os.fork")
@pytest.mark.slow
def test_worker_pool_works_in_a_forked_child():
    done = subprocess.run([sys.executable, "-c", FORKING], timeout=SOON, check=False)

    assert 0 == done.returncode


def test_cancellation_drops_queued_calls():
    workers, started, released, made = WorkerPool(threads=1), threading.Event(), threading.Event(), []

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


def test_stop_iteration_of_a_call_becomes_a_runtime_error(perform):
    """It must not end the flow (PEP 479)."""
    with pytest.raises(RuntimeError):
        perform(run(next, iter(())))


def test_stop_iteration_of_a_future_becomes_a_runtime_error(perform):
    future = Future()
    future.set_running_or_notify_cancel()
    future.set_exception(StopIteration())
    with pytest.raises(RuntimeError):
        perform(wait_for(future))


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), GeneratorExit()], ids=repr)
def test_exceptions_of_waits_are_raised_in_the_flow(perform, error):
    caught = []

    def flow():
        try:
            yield fail_with(error)
        except BaseException as found:
            caught.append(found)

    perform(flow())

    assert [error] == caught


def test_cancellation_runs_finally_blocks():
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


def test_cancelled_flow_can_wait_in_finally():
    log = []

    async def main():
        blocked = asyncio.Event()

        def flow():
            try:
                yield Wait(sync=lambda: None, aio=blocked.wait)
            finally:
                log.append((yield from run(lambda: "released")))

        task = asyncio.create_task(adrive(flow()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())

    assert ["released"] == log


def test_wait_for_is_not_affected_by_other_cancelled_waiters():
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


@pytest.mark.parametrize(("timeout", "count"), [(0, 0), (0.001, 1), (None, 1)])
def test_wait_for_adds_at_most_one_callback(timeout, count):
    """Otherwise a hung load would take memory for each request that timed out."""
    callbacks, future = [], Future()
    future.add_done_callback = callbacks.append

    async def main():
        waiting = [asyncio.create_task(adrive(wait_for(future, timeout))) for _ in range(10)]
        await asyncio.wait(waiting, timeout=0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())

    assert count == len(callbacks)


def test_wait_for_a_finished_future(perform):
    future = Future()
    future.set_result(7)

    assert 7 == perform(wait_for(future))


def test_yield_in_place_of_yield_from_is_an_error(perform):
    def flow():
        return (yield run(int))

    with pytest.raises(AttributeError):
        perform(flow())


def test_layer_that_returns_no_flow_is_an_error(perform):
    def plain(request, call_next):
        return 200

    with pytest.raises(TypeError):
        perform(stack([Named("a", []), plain], echo)(""))
    with pytest.raises(AttributeError):
        perform(stack([plain], echo)(""))


def _suspend_flow():
    log = []

    def flow():
        try:
            log.append((yield wait("never performed")))
        except KeyError as error:
            log.append(error)
        return (yield wait("last"))

    suspended = flow()
    next(suspended)
    return suspended, log


def test_adrive_resumes_a_suspended_flow():
    flow, log = _suspend_flow()

    assert "last" == asyncio.run(adrive(flow, "first"))
    assert ["first"] == log


def test_adrive_resumes_a_suspended_flow_with_an_exception():
    flow, log = _suspend_flow()
    error = KeyError("thrown")

    assert "last" == asyncio.run(adrive(flow, error))
    assert [error] == log


def test_flow_can_be_stepped_without_a_driver():
    flow = stack([Named("a", [])], lambda request: run(int, "5"))("")
    effect = next(flow)

    assert 5 == effect.sync()
    with pytest.raises(StopIteration) as stop:
        flow.send("answer")
    assert "answerA" == stop.value.value


def _request_named_otherwise(item, inner):
    return inner(item + "b")


def _any_arguments(*args):
    item, inner = args
    return inner(item + "b")


def _no_keywords(item, inner, /):
    return inner(item + "b")


@pytest.mark.parametrize("layer", [_request_named_otherwise, _any_arguments, _no_keywords])
def test_stack_passes_the_next_handler_whatever_its_parameter_is_called(layer):
    def handler(item):
        yield from ()
        return item + "c"

    assert drive(stack([layer], handler)("a")) == "abc"
