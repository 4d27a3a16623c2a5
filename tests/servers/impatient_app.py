"""Gate that rejects every other request with 429, and the first of the others with 503."""

import os

from modelgate import Gate, Overloaded, RateLimit, RateLimitExceeded, Schema, Table
from modelgate.testing import FakeClock

clock = FakeClock()


def advance_clock(request, call_next):
    """Advance the clock after a request that exceeded the limit."""
    try:
        return (yield from call_next(request))
    except RateLimitExceeded:
        clock.advance(1)
        raise


gate = Gate(
    keys={os.environ["MODELGATE_KEY"]: "*"},
    limits=[advance_clock, RateLimit("1/second", clock=clock)],
    dialects=["datarobot"],
)
app = gate.asgi
_rejected: list[bool] = []


@gate.handler("double", schema=Schema.of(amount=float), target="amount")
def double(table: Table) -> list[float]:
    if not _rejected:
        _rejected.append(True)
        raise Overloaded
    doubled: list[float] = (table["amount"] * 2).tolist()
    return doubled
