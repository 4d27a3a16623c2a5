"""``modelgate report``."""

import click.testing
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from modelgate import Deployment, DriftMonitor, Gate, ModelPackage, OutcomeLog
from modelgate.cli.root import cli
from modelgate.testing import Client
from support.waiting import SOON

X = pd.DataFrame({"age <years>": np.random.default_rng(0).normal(50, 10, size=2_000)})


def run(*arguments, code=0):
    done = click.testing.CliRunner().invoke(cli, ["report", *map(str, arguments)])

    assert done.exit_code == code, done.output
    return done.stdout + done.stderr


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'monitor.db'}"


def serve(url, *hooks):
    """Serve two versions, one after the other, and report outcomes."""
    for version, error in (("1", 1.0), ("2", 3.0)):
        model = LinearRegression().fit(X, X["age <years>"] + error)
        package = ModelPackage.from_estimator(model, X, X["age <years>"].to_numpy(), version=version)
        gate = Gate([Deployment("price", package)], keys="open", on_prediction=list(hooks))
        client = Client(gate.wsgi)
        rows = [{"age <years>": age} for age in np.random.default_rng(1).normal(70, 10, size=600).tolist()]
        request_id = client.post("/simple/price", json=rows).header("x-request-id")
        assert all(hook.flush(SOON) for hook in hooks)
        outcomes = [
            {"request_id": request_id, "row": number, "actual": row["age <years>"]}
            for number, row in enumerate(rows)
        ]
        client.post("/deployments/price/outcomes", json={"outcomes": outcomes})
    gate.close()


@pytest.mark.slow
def test_report_shows_traffic_drift_and_accuracy(url, tmp_path):
    serve(url, DriftMonitor(url), OutcomeLog(url))
    run("price", "--db", url, "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()

    assert ["<td>1</td><td>600</td>", "<td>2</td><td>600</td>"] == [
        text for text in ("<td>1</td><td>600</td>", "<td>2</td><td>600</td>") if text in page
    ]
    assert "<td>age &lt;years&gt;</td>" in page
    assert "<td>psi" in page
    assert "<td>2</td><td>600</td><td>600</td><td>mean absolute error</td><td>3</td>" in page
    assert "<years>" not in page


@pytest.mark.slow
def test_report_without_outcomes_has_traffic_of_monitor(url, tmp_path):
    serve(url, DriftMonitor(url))
    run("price", "--db", url, "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()

    assert "<td>2</td><td>600</td>" in page
    assert "<p>No predictions are stored.</p>" in page


def test_report_creates_no_database(url, tmp_path):
    assert "db must be a database that exists" in run("price", "--db", url, code=2)
    assert [] == list(tmp_path.iterdir())


def test_unknown_deployment_has_no_report(url):
    OutcomeLog(url).accuracy("price")

    assert "no predictions of the deployment 'price'" in run("price", "--db", url, code=3)
