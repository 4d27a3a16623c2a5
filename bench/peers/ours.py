"""The full stack: key, two windows, schema, cache, batches, plans, labels, confidences, rounding, request id.

``PLANS``, ``BATCH`` and ``OFFLOAD`` turn off what they name.
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
