"""What metrics, a prediction log and drift monitoring cost a request, in bytecodes."""

import sys

from modelgate import Deployment, DriftMonitor, Gate, PredictionLog, Schema
from modelgate.testing import Client

MAX_BYTECODES = 460
"""Of metrics shared by processes, a log and drift monitoring."""


def count_bytecodes(**options):
    """Return the smallest number of bytecodes of a request."""
    deployment = Deployment("d", lambda table: table["a"], schema=Schema.of(a=float), offload=False)
    client, counts, before = Client(Gate([deployment], keys="open", **options).wsgi), [], sys.gettrace()

    def trace(frame, event, argument):
        frame.f_trace_opcodes = True
        counts[-1] += event == "opcode"
        return trace

    for _ in range(20):
        counts.append(0)
        sys.settrace(trace)
        try:
            client.post("/simple/d", json=[{"a": 1}])
        finally:
            sys.settrace(before)
    return min(counts)


def test_monitoring_costs_few_bytecodes(tmp_path):
    """All requests are counted, logged and monitored."""
    log = PredictionLog(tmp_path / "log", sample=0.999_999_999)
    monitor = DriftMonitor()
    base = count_bytecodes(metrics=False)
    cost = count_bytecodes(metrics_dir=tmp_path / "metrics", on_prediction=[log, monitor]) - base
    log.close()
    monitor.close()

    assert 0 < cost <= MAX_BYTECODES
