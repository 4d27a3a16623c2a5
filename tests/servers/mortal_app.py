"""App with a gate whose process is killed in the middle of a request if the file ``scoring`` or ``sending`` exists."""

import os
import signal
from pathlib import Path

from modelgate import Deployment, Gate, Idempotency, RateLimit, Schema
from support.servers import KEY

FOLDER = Path(os.environ["MORTAL_FOLDER"])
REDIS = os.environ["MORTAL_REDIS"]


def die(moment):
    if (FOLDER / moment).exists():
        (FOLDER / moment).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def double(table):
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{os.getpid()}\n")
    die("scoring")
    return table["age"] * 2


gate = Gate(
    [Deployment(name, double, schema=Schema.of(age=float)) for name in ("churn", "price", "risk")],
    keys={KEY: "*"},
    limits=RateLimit("100/day", storage=REDIS),
    idempotency=Idempotency(REDIS),
)


async def app(scope, receive, send):
    async def send_or_die(message):
        # The gate has stored the answer.
        if scope["method"] == "POST":
            die("sending")
        await send(message)

    if scope["type"] == "http":
        await gate.asgi({**scope, "path": scope["path"].removeprefix("/ml")}, receive, send_or_die)
