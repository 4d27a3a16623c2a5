"""A gate that is made and warmed before the server forks; its model is read from a file, and given as an object."""

import os

import joblib

from modelgate import Deployment, Gate

gate = Gate([Deployment("m", joblib.load(os.environ["PRELOADED_MODEL"]))], keys="open", dialects=["simple"])
gate.warm()
gate.describe("m")
gate.openapi("m")
app = gate.wsgi
