"""Gate that is created and warmed up before the server forks."""

import os

import joblib

from modelgate import Deployment, Gate

gate = Gate([Deployment("m", joblib.load(os.environ["PRELOADED_MODEL"]))], keys="open", dialects=["simple"])
gate.deployments.warm()
gate.deployments.describe("m")
gate.openapi("m")
gate.score("m", [{"x0": 0.5, "x1": 0.5, "x2": 0.5}] * 400)
app = gate.wsgi
