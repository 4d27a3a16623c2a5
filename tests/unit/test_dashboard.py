"""The Grafana dashboard shows metrics that exist."""

import json
import re

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from modelgate import Deployment, DriftMonitor, Gate, ModelPackage, PredictionLog, Schema
from modelgate.humility import OutlyingInput
from modelgate.testing import Client
from support.prometheus import parse_samples
from support.servers import ROOT
from support.waiting import SOON

QUERY = re.compile(r"(modelgate_\w+)(?:\{([^}]*)\})?")
GROUPS = re.compile(r"by \(([^)]*)\)")


def read_labels(folder):
    """Return the labels of each sample of a gate."""
    price = Deployment(
        "price",
        lambda table: table["age"],
        schema=Schema.of(age=float),
        humility=[OutlyingInput("age", upper=5)],
    )
    ages = pd.DataFrame({"age": np.arange(100.0)})
    package = ModelPackage.from_estimator(LinearRegression().fit(ages, ages["age"]), ages)
    monitor = DriftMonitor(min_rows=1)
    gate = Gate(
        [price, Deployment("packaged", package)],
        keys="open",
        on_prediction=[PredictionLog(folder), monitor],
    )
    client = Client(gate.wsgi)
    client.post("/simple/packaged", json=[{"age": 9}])
    monitor.flush(SOON)
    client.post("/simple/price", json=[{"age": 9}])
    client.post("/simple/price", json=[{"age": "old"}])
    samples = parse_samples(gate.metrics.render())
    return {name: {label for label, _ in labels} for name, *labels in samples}


def read_expressions():
    dashboard = json.loads((ROOT / "examples/grafana/modelgate.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_dashboard_queries_existing_metrics_and_labels(tmp_path):
    labels, used = read_labels(tmp_path), {}
    for expression in read_expressions():
        grouped = {label for group in GROUPS.findall(expression) for label in group.split(", ")}
        for name, selectors in QUERY.findall(expression):
            selected = set(re.findall(r"(\w+)=", selectors))
            used[name] = used.get(name, set()) | selected | grouped

    assert {} == {
        name: found - labels.get(name, set())
        for name, found in used.items()
        if found - labels.get(name, set())
    }
    assert [] == [name for name in used if name not in labels]
    assert {"version", "role"} <= used["modelgate_model_duration_seconds_bucket"]
