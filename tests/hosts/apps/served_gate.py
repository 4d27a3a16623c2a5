"""The gate that every host mounts. It needs no model library, so that the servers start fast."""

import asyncio
import os

from modelgate import Deployment, Gate, Schema

schema = Schema.of(amount=float)


def double(table):
    return table["amount"] * 2


async def triple(table):
    await asyncio.sleep(0.05)
    return table["amount"] * 3


def fail(table):
    raise LookupError("the secret recipe is missing")


gate = Gate(
    [Deployment(function.__name__, function, schema=schema) for function in (double, triple, fail)],
    keys={os.environ["MODELGATE_DEMO_KEY"]: ["double", "triple", "fail"]},
    limits="100000/minute",
    auth_failure_limit=None,
)
