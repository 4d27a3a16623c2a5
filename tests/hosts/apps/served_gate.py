"""The gate that every host mounts. It needs no model library, so that the servers start fast."""

import asyncio
import os
import time
from pathlib import Path

from modelgate import Deployment, Gate, Schema

schema = Schema.of(amount=float)


def double(table):
    return table["amount"] * 2


async def triple(table):
    await asyncio.sleep(0.05)
    return table["amount"] * 3


def fail(table):
    raise LookupError("the secret recipe is missing")


def linger(table):
    (Path.home() / "lingers").touch()
    time.sleep(1)
    return table["amount"]


functions = {function.__name__: function for function in (double, triple, fail, linger)}
gate = Gate(
    [Deployment(name, function, schema=schema) for name, function in functions.items()],
    keys={os.environ["MODELGATE_KEY"]: list(functions)},
    limits="100000/minute",
    auth_failure_limit=None,
)
