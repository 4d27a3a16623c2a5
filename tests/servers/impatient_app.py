"""A gate that rejects many requests: every other one exceeds its limit, and the first of the rest finds it busy."""

import os

from modelgate import Gate, Overloaded, RateLimit, RateLimitExceeded, Schema, Table
from modelgate.testing import Clock

clock = Clock()


def let_a_second_pass(request, call_next):
    """Turn the clock after a request that exceeded the limit."""
    try:
        return (yield from call_next(request))
    except RateLimitExceeded:
        clock.advance(1)
        raise


gate = Gate(
    keys={os.environ["MODELGATE_DEMO_KEY"]: "*"},
    limits=[let_a_second_pass, RateLimit("1/second", clock=clock)],
    dialects=["datarobot"],
)
app = gate.asgi
_refused: list[bool] = []


@gate.handler("double", schema=Schema.of(amount=float), target="amount")
def double(table: Table) -> list[float]:
    if not _refused:
        _refused.append(True)
        raise Overloaded
    doubled: list[float] = (table["amount"] * 2).tolist()
    return doubled
