"""Gate that is created and warmed up before the server forks."""

import os

import joblib

from modelgate import Deployment, Gate

gate = Gate([Deployment("m", joblib.load(os.environ["PRELOADED_MODEL"]))], keys="open", dialects=["simple"])
gate.deployments.warm()
gate.deployments.describe("m")
gate.openapi("m")
app = gate.wsgi
