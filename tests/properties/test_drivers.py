"""Both drivers, on any script of effects."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate.flow import Wait, Workers, adrive, drive, stack

ERRORS = (KeyError, ValueError, SystemExit, asyncio.CancelledError)
WORKERS = Workers(1)

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


def wait(log, kind, told):
    def sync():
        log.append(kind)
        if kind == "raise":
            raise told
        return told

    async def aio():
        await asyncio.sleep(0)
        return sync()

    return Wait(sync=sync, aio=aio)


def perform(log, script):
    for kind, told in script:
        if kind == "run":
            log.append((yield from WORKERS.run(int, told)))
        elif kind == "run raising":
            yield from WORKERS.run(_fail, told)
        else:
            log.append((yield wait(log, kind, told)))


def _fail(error):
    raise error


def layer(log, name, script):
    if isinstance(script, list):
        # A stack within the stack is a layer of its own.
        return lambda request, call_next: stack(
            [layer(log, f"{name}.{at}", part) for at, part in enumerate(script)], call_next
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


def outcome(driver, scripts, inner):
    """The log of one run, and how it ended."""
    log = []

    def handler(request):
        yield from perform(log, inner)
        return f"answer to {request}"

    flow = stack([layer(log, str(at), script) for at, script in enumerate(scripts)], handler)(0)
    try:
        return log, driver(flow)
    except BaseException as error:
        # A StopIteration is a RuntimeError under both; who noticed it words it.
        return log, type(error), "" if isinstance(error, RuntimeError) else str(error)


def under_asyncio(flow):
    async def main():
        # What a task ends with may end its loop: it is caught where it leaves the driver.
        try:
            return await asyncio.wait_for(_caught(flow), 10)
        finally:
            await asyncio.sleep(0)

    kind, told = asyncio.run(main())
    if kind == "error":
        raise told
    return told


async def _caught(flow):
    try:
        return "value", await adrive(flow)
    except BaseException as error:
        return "error", error


@settings(max_examples=150)
@given(st.lists(layers, max_size=4), st.lists(effects, max_size=4))
def test_both_drivers_agree(scripts, inner):
    """Any script of values, errors, recoveries and nested stacks has one log and one outcome."""

    assert outcome(drive, scripts, inner) == outcome(under_asyncio, scripts, inner)


@settings(max_examples=100)
@given(st.lists(layers, max_size=4), st.lists(effects, max_size=4))
def test_every_way_in_has_a_way_out(scripts, inner):
    """Whatever happens, each layer that was entered is left, the innermost first."""
    log = outcome(drive, scripts, inner)[0]
    open_layers = []
    for entry in log:
        if isinstance(entry, str) and entry.endswith(" in"):
            open_layers.append(entry.removesuffix(" in"))
        elif isinstance(entry, str) and entry.endswith(" out"):
            assert entry.removesuffix(" out") == open_layers.pop()

    assert [] == open_layers
