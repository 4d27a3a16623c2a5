"""Gate whose deployments reject every other request, beginning with the first."""

import itertools
import os

from modelgate import Deployment, Gate, Overloaded, RateLimitExceeded, Schema


def make_rejecting_layer(error, *arguments):
    """Return an HTTP layer that rejects every other request."""
    requests = itertools.count()

    def reject(request, call_next):
        if next(requests) % 2 == 0:
            raise error(*arguments)
        return call_next(request)

    return reject


LAYERS = {
    "limited": make_rejecting_layer(RateLimitExceeded, "1/second", 1),
    "busy": make_rejecting_layer(Overloaded, 1),
}

gate = Gate(
    [
        Deployment(name, lambda table: table["a"], schema=Schema.of(a=float), layers=[layer])
        for name, layer in LAYERS.items()
    ],
    keys={os.environ["MODELGATE_KEY"]: "*"},
)
app = gate.asgi
