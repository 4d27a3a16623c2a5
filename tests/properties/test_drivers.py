"""Both drivers return the same results for random scripts of effects."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate.flow import Wait, WorkerPool, adrive, drive, stack
from support.waiting import SOON

ERRORS = (KeyError, ValueError, SystemExit, asyncio.CancelledError)
WORKERS = WorkerPool(1)

values = st.integers(0, 9)
errors = st.sampled_from(ERRORS)
effects = st.one_of(
    st.tuples(st.just("value"), values),
    st.tuples(st.just("raise"), errors),
    st.tuples(st.just("run"), values),
    st.tuples(st.just("run raising"), st.sampled_from([KeyError, ValueError, SystemExit, StopIteration])),
)
catching = st.lists(st.sampled_from([KeyError, ValueError, RuntimeError, BaseException]), max_size=2).map(
    tuple
)
layers = st.recursive(
    st.fixed_dictionaries(
        {
            "before": st.lists(effects, max_size=2),
            "after": st.lists(effects, max_size=2),
            "catch": catching,
            "recover": st.lists(effects, max_size=1),
            "last": st.lists(st.tuples(st.just("value"), values), max_size=1),
            "plain": st.booleans(),
        }
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


def make_wait(log, kind, value):
    def sync():
        log.append(kind)
        if kind == "raise":
            raise value
        return value

    async def aio():
        await asyncio.sleep(0)
        return sync()

    return Wait(sync=sync, aio=aio)


def perform(log, script):
    for kind, value in script:
        if kind == "run":
            log.append((yield from WORKERS.run(int, value)))
        elif kind == "run raising":
            yield from WORKERS.run(_fail, value)
        else:
            log.append((yield make_wait(log, kind, value)))


def _fail(error):
    raise error


def make_layer(log, name, script):
    if isinstance(script, list):
        # A nested stack as a layer.
        return lambda request, call_next: stack(
            [make_layer(log, f"{name}.{index}", part) for index, part in enumerate(script)], call_next
        )(request)

    def generator(request, call_next):
        log.append(f"{name} in")
        try:
            yield from perform(log, script["before"])
            answer = yield from call_next(request + 1)
            yield from perform(log, script["after"])
            return f"{name}({answer})"
        except script["catch"] as error:
            log.append(f"{name} caught {type(error).__name__}")
            yield from perform(log, script["recover"])
            return f"{name} recovered"
        finally:
            yield from perform(log, script["last"])
            log.append(f"{name} out")

    def plain(request, call_next):
        log.append(f"{name} checks")
        if script["catch"]:
            return call_next(request)
        return generator(request, call_next)

    return plain if script["plain"] else generator


def run_script(driver, scripts, inner):
    """Return the log of a run, and its result or error."""
    log = []

    def handler(request):
        yield from perform(log, inner)
        return f"answer to {request}"

    flow = stack([make_layer(log, str(index), script) for index, script in enumerate(scripts)], handler)(0)
    try:
        return log, driver(flow)
    except BaseException as error:
        # A StopIteration becomes a RuntimeError under both drivers, with different messages.
        return log, type(error), "" if isinstance(error, RuntimeError) else str(error)


def under_asyncio(flow):
    async def main():
        # SystemExit would end the event loop, so errors are caught inside the task.
        try:
            return await asyncio.wait_for(_catch_errors(flow), SOON)
        finally:
            await asyncio.sleep(0)

    kind, value = asyncio.run(main())
    if kind == "error":
        raise value
    return value


async def _catch_errors(flow):
    try:
        return "value", await adrive(flow)
    except BaseException as error:
        return "error", error


@settings(max_examples=150)
@given(st.lists(layers, max_size=4), st.lists(effects, max_size=4))
def test_drivers_agree(scripts, inner):
    assert run_script(drive, scripts, inner) == run_script(under_asyncio, scripts, inner)


@settings(max_examples=100)
@given(st.lists(layers, max_size=4), st.lists(effects, max_size=4))
def test_drivers_leave_every_layer_they_enter(scripts, inner):
    """The innermost layer is left first."""
    log = run_script(drive, scripts, inner)[0]
    open_layers = []
    for entry in log:
        if isinstance(entry, str) and entry.endswith(" in"):
            open_layers.append(entry.removesuffix(" in"))
        elif isinstance(entry, str) and entry.endswith(" out"):
            assert entry.removesuffix(" out") == open_layers.pop()

    assert [] == open_layers
