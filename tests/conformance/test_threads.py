"""What every mount keeps apart: the context variables of callers, and interrupts that are meant for nobody."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context

import pytest

from modelgate import Deployment, Schema
from support.keys import OTHER_KEY
from support.mounts import Mounted, make_gate
from support.waiting import SOON

SCHEMA = Schema.of(x=float)
KEYS = {OTHER_KEY: "*"}
TENANT = ContextVar("tenant", default=None)


class Estimator:
    """Fitted estimator that runs a function on each call."""

    n_features_in_ = 1

    def __init__(self, call):
        self.call = call

    def predict(self, rows):
        self.call()
        return rows[:, 0]


def build_deployments(call):
    """Return deployments of each type that run *call*: batched or not, in a thread or on an event loop."""

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


def mount_gate(mount, wine, call, **options):
    gate = make_gate(wine, keys=KEYS, **options)
    names = []
    for deployment in build_deployments(call):
        gate.deployments.add(deployment)
        names.append(deployment.name)
    return Mounted(mount, gate), names


@pytest.mark.parametrize("deadline", [None, SOON])
def test_single_request_has_the_callers_context(mount, wine, deadline):
    """Both the first call of a model and later ones."""
    seen = []
    mounted, names = mount_gate(mount, wine, lambda: seen.append(TENANT.get()), deadline=deadline)
    # Each estimator has answered an example when it was added.
    seen.clear()

    def send(tenant):
        TENANT.set(tenant)
        for name in names:
            assert 200 == mounted.predict({"x": 1}, OTHER_KEY, deployment=name).status

    for tenant in ("acme", "globex"):
        copy_context().run(send, tenant)

    assert ["acme"] * len(names) + ["globex"] * len(names) == seen


def test_keyboard_interrupt_of_model_is_500(mount, wine):
    """Outside the main thread, it cannot come from the user."""
    raising = []

    def call():
        if raising:
            raise KeyboardInterrupt

    mounted, names = mount_gate(mount, wine, call)

    def send(name):
        return mounted.predict({"x": 1}, OTHER_KEY, deployment=name).status

    statuses = {}
    with ThreadPoolExecutor(1) as pool:
        for name in names:
            first = pool.submit(send, name).result(SOON)
            raising.append(True)
            failed = pool.submit(send, name).result(SOON)
            raising.clear()
            statuses[name] = first, failed, pool.submit(send, name).result(SOON)

    assert dict.fromkeys(names, (200, 500, 200)) == statuses
