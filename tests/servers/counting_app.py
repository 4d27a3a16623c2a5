"""Gate whose processes add up their metrics, and log predictions."""

import os

from modelgate import Deployment, Gate, PredictionLog, Schema

gate = Gate(
    [Deployment("m", lambda table: table["a"], schema=Schema.of(a=float))],
    keys="open",
    dialects=["simple"],
    metrics="open",
    metrics_dir=os.environ["METRICS_DIR"],
    on_prediction=PredictionLog(os.environ["LOG_DIR"], flush_interval=1000),
)
wsgi, asgi = gate.wsgi, gate.asgi
