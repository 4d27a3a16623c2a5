"""Fixtures of the plugin that pytest loads automatically, in a project of their own."""

import re
import subprocess
import sys

import pytest

from support.servers import ROOT
from support.waiting import SOON

APP = """
from flask import Flask
from modelgate import Deployment, Gate, Schema

app = Flask(__name__)
schema = Schema.of(age=float, plan=["free", "pro"])
gate = Gate([Deployment("churn", lambda table: ["yes"] * len(table), schema=schema)], keys="env:MODELGATE_KEYS")
gate.mount(app, "/ml")
"""

GATE_TESTS = """
import pytest
from modelgate import Deployment, Gate, RateLimit, Schema

@pytest.fixture
def modelgate_app(modelgate_key, modelgate_clock):
    double = Deployment("double", lambda table: table["age"] * 2, schema=Schema.of(age=float))
    limit = RateLimit("1/minute", clock=modelgate_clock)
    return Gate([double], keys="env:MODELGATE_KEYS", limits=limit)

def predict(client):
    return client.post("/deployments/double/predict", json={"age": 21})

def test_gate(modelgate_client, modelgate_clock):
    assert [200, 429] == [predict(modelgate_client).status for _ in range(2)]
    modelgate_clock.advance(60)
    assert 42.0 == predict(modelgate_client).json()["prediction"]
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest over a test file, next to the module `app`."""

    def run(tests):
        (tmp_path / "app.py").write_text(APP)
        (tmp_path / "test_app.py").write_text(tests)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", tmp_path]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=2 * SOON)
        return done.stdout + done.stderr

    return run


def test_example_of_the_documentation_passes(run):
    page = (ROOT / "docs/cookbook/testing.md").read_text()

    assert "1 passed" in run(re.search(r"```py\n(.*?)```", page, re.DOTALL)[1])


def test_fixtures_work_with_a_gate(run):
    assert "1 passed" in run(GATE_TESTS)


def test_missing_app_is_reported(run):
    assert "define a fixture modelgate_app that returns your app or gate" in run(
        "def test_app(modelgate_client): pass"
    )
