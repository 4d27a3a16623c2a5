"""What every mount keeps apart: the context variables of callers, and interrupts that are meant for nobody."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context

import pytest

from conformance.conftest import OTHER_KEY, Mounted, make_gate
from modelgate import Deployment, Schema
from waiting import SOON

SCHEMA = Schema.of(x=float)
KEYS = {OTHER_KEY: "*"}
TENANT = ContextVar("tenant", default=None)


class Estimator:
    """A fitted estimator that calls something for each of its calls."""

    n_features_in_ = 1

    def __init__(self, call):
        self.call = call

    def predict(self, rows):
        self.call()
        return rows[:, 0]


def deployments(call):
    """One of each kind that does *call*: batched and not, on an event loop and in a thread, sync and async."""

    def function(table):
        call()
        return table["x"]

    async def coroutine(table):
        await asyncio.sleep(0)
        call()
        return table["x"]

    kinds = {
        "estimator": (Estimator(call), {}),
        "offloaded": (Estimator(call), {"offload": True}),
        "inline": (Estimator(call), {"offload": False}),
        "unbatched": (Estimator(call), {"batch": False}),
        "function": (function, {}),
        "coroutine": (coroutine, {}),
    }
    return [
        Deployment(name, model, schema=SCHEMA, plans=False, **options)
        for name, (model, options) in kinds.items()
    ]


def mounted_with(mount, wine, call, **options):
    gate = make_gate(wine, keys=KEYS, **options)
    names = []
    for deployment in deployments(call):
        gate.add(deployment)
        names.append(deployment.name)
    return Mounted(mount, gate), names


@pytest.mark.parametrize("deadline", [None, SOON])
def test_a_request_alone_is_scored_in_its_callers_context(mount, wine, deadline):
    """The first call of a model, of which nothing is known, and later ones alike."""
    seen = []
    mounted, names = mounted_with(mount, wine, lambda: seen.append(TENANT.get()), deadline=deadline)
    # Each estimator has answered an example when it was added.
    seen.clear()

    def ask(tenant):
        TENANT.set(tenant)
        for name in names:
            assert 200 == mounted.predict({"x": 1}, OTHER_KEY, deployment=name).status

    for tenant in ("acme", "globex"):
        copy_context().run(ask, tenant)

    assert ["acme"] * len(names) + ["globex"] * len(names) == seen


def test_an_interrupt_that_a_model_raises_is_its_failure(mount, wine):
    """Nobody pressed Ctrl-C: in a thread that is not the main one it is answered 500."""
    raising = []

    def call():
        if raising:
            raise KeyboardInterrupt

    mounted, names = mounted_with(mount, wine, call)

    def ask(name):
        return mounted.predict({"x": 1}, OTHER_KEY, deployment=name).status

    told = {}
    with ThreadPoolExecutor(1) as pool:
        for name in names:
            first = pool.submit(ask, name).result(SOON)
            raising.append(True)
            failed = pool.submit(ask, name).result(SOON)
            raising.clear()
            told[name] = first, failed, pool.submit(ask, name).result(SOON)

    assert dict.fromkeys(names, (200, 500, 200)) == told
