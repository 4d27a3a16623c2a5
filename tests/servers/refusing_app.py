"""A gate each of whose deployments refuses every other request, the first one included."""

import itertools
import os

from modelgate import Deployment, Gate, Overloaded, RateLimitExceeded, Schema


def refusing(error, *told):
    """An HTTP layer that refuses every other request."""
    asked = itertools.count()

    def refuse(request, call_next):
        if next(asked) % 2 == 0:
            raise error(*told)
        return call_next(request)

    return refuse


LAYERS = {"limited": refusing(RateLimitExceeded, "1/second", 1), "busy": refusing(Overloaded, 1)}

gate = Gate(
    [
        Deployment(name, lambda table: table["a"], schema=Schema.of(a=float), layers=[layer])
        for name, layer in LAYERS.items()
    ],
    keys={os.environ["MODELGATE_DEMO_KEY"]: "*"},
)
app = gate.asgi
