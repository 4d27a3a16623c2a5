"""The full stack of a gate: key, two rate windows, schema, cache, batches, plans, labels, rounding, request id.

The environment variables ``PLANS``, ``BATCH`` and ``OFFLOAD`` switch these off.
"""

import os

from shared import KEY, LIMITS, MODEL

from modelgate import Deployment, Gate

deployment = Deployment(
    "model",
    MODEL,
    decimals=4,
    plans=os.environ.get("PLANS") != "off",
    batch=os.environ.get("BATCH") != "off",
    offload=False if os.environ.get("OFFLOAD") == "off" else None,
)
gate = Gate([deployment], keys={KEY: "model"}, limits="; ".join(LIMITS))
app = gate.asgi
wsgi = gate.wsgi
