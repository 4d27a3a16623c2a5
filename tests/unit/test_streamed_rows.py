"""Responses that stream have the same bytes as those that do not, with every member of a row."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor

import modelgate.codecs.csv_writer as csv_writer
import modelgate.dialects._streaming as streaming
from modelgate import Deployment, Explanations, Exposure, Gate
from modelgate.humility import OutlyingInput, OverridePrediction
from modelgate.testing import Client
from support.marks import slow

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame({"age": RANDOM.uniform(18, 80, 60), "power": RANDOM.uniform(0, 1, 60)})
YEARS = RANDOM.uniform(0.5, 2, 60)
RATES = PoissonRegressor().fit(FRAME, RANDOM.poisson(np.exp(FRAME["power"])))
LABELS = LogisticRegression().fit(FRAME, np.where(FRAME["power"] > 0.5, "yes", "no"))
EXPLANATIONS = Explanations(background=FRAME)
EXPOSED = FRAME.assign(years=YEARS).head(23)
CSV, NDJSON = "text/csv", "application/x-ndjson"


def make_client():
    """Return a client of two models that return as much about a row as each can."""

    def rule(value):
        return OutlyingInput("age", upper=40, action=OverridePrediction(value))

    rates = Deployment(
        "rates",
        RATES,
        exposure=Exposure("years", model_predicts="rate"),
        humility=[rule(0.5)],
        explanations=EXPLANATIONS,
    )
    labels = Deployment("labels", LABELS, humility=[rule("no")], explanations=EXPLANATIONS)
    return Client(Gate([rates, labels], keys="open").wsgi)


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["application/json", CSV, NDJSON])
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("predict", "?adjusted=true&passthrough=age&explain=2"),
        ("predictions", "?passthroughColumns=age&maxExplanations=2"),
        ("predictionExplanations", "?maxExplanations=2"),
        ("predictions", "?passthroughColumnsSet=all"),
    ],
)
@pytest.mark.parametrize("name", ["rates", *slow("labels")])
def test_streamed_response_has_the_same_bytes(monkeypatch, name, path, options, accept):
    """With adjusted predictions, passthrough columns, explanations and humility rules."""
    client = make_client()
    rows = (EXPOSED if name == "rates" else EXPOSED[["age", "power"]]).to_csv(index=False).encode()
    if name == "labels":
        options = options.replace("adjusted=true&", "")
    headers = {"content-type": CSV, "accept": accept, "x-request-id": "a"}

    def post():
        answer = client.post(f"/deployments/{name}/{path}{options}", body=rows, headers=headers)
        assert 200 == answer.status, answer.body
        request_id = answer.header("x-request-id").encode()
        return answer.body.replace(request_id, b""), answer.header("content-length") is None

    expected, is_streamed = post()
    monkeypatch.setattr(streaming, "PIECE_ROWS", 5)
    monkeypatch.setattr(csv_writer, "_BLOCK_ROWS", 5)

    assert (expected, True) == post()
    assert not is_streamed
