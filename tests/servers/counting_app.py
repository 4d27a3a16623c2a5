"""Gate whose processes add up their metrics."""

import os

from modelgate import Deployment, Gate, Schema

gate = Gate(
    [Deployment("m", lambda table: table["a"], schema=Schema.of(a=float))],
    keys="open",
    dialects=["simple"],
    metrics="open",
    metrics_dir=os.environ["METRICS_DIR"],
)
wsgi, asgi = gate.wsgi, gate.asgi
