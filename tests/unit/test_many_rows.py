"""Scoring layers and many rows: the event loop stays free, and the predictions are those of single rows."""

import threading

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor

from modelgate import Column, Deployment, Exposure, Gate, ModelPackage, Output, Prediction, Schema
from modelgate.humility import (
    HumilityRules,
    LowObservationRegion,
    OutlyingInput,
    OverridePrediction,
    UncertainPrediction,
)
from modelgate.inference import decision
from modelgate.scoring.layers import check_prediction, context, explain, rounding
from modelgate.scoring.many_rows import MANY_ROWS
from modelgate.testing import Client

SCHEMA = Schema.of(age=float)
RULES = [OutlyingInput("age", 0, 100), UncertainPrediction(10, 20)]
PACKAGE = ModelPackage.from_estimator(DummyRegressor().fit(X := np.array([[1.0], [2.0]]), [1, 2]), X)


def double_age(table):
    return 2 * table["age"]


def classify(table):
    probabilities = np.column_stack([1 - table["age"] / 1000, table["age"] / 1000])
    return Prediction([Output("y", np.array(["no"] * len(table)), ["no", "yes"], probabilities)])


@pytest.mark.slow
@pytest.mark.parametrize("rows", [MANY_ROWS, MANY_ROWS + 1])
@pytest.mark.parametrize(
    ("owner", "name", "model", "query", "options"),
    [
        (HumilityRules, "find_input_rows", double_age, "", {"humility": RULES}),
        (HumilityRules, "apply", double_age, "", {"humility": RULES}),
        (Exposure, "read", double_age, "", {"exposure": Exposure("years", model_predicts="rate")}),
        (Exposure, "apply", double_age, "", {"exposure": Exposure("years", model_predicts="rate")}),
        (rounding, "_round_output", double_age, "", {"decimals": 1}),
        (decision.DecisionRule, "apply", classify, "", {"threshold": 0.5}),
        (check_prediction, "check_values", double_age, "", {"scoring_layers": []}),
        (explain, "_targets", PACKAGE, "?explain=1", {"explanations": "auto"}),
        (context, "describe_rows", PACKAGE, "?context=true", {}),
    ],
)
def test_many_rows_leave_the_event_loop(monkeypatch, rows, owner, name, model, query, options):
    threads = {}
    function = getattr(owner, name)

    def recording(*args, **kwargs):
        threads["function"] = threading.get_ident()
        return function(*args, **kwargs)

    def record_loop(request, call_next):
        threads["loop"] = threading.get_ident()
        return (yield from call_next(request))

    schema = {} if isinstance(model, ModelPackage) else {"schema": SCHEMA}
    gate = Gate([Deployment("d", model, layers=[record_loop], **schema, **options)], keys="open")
    monkeypatch.setattr(owner, name, recording)
    column = "x0" if isinstance(model, ModelPackage) else "age"
    body = [{column: 1.0} | ({"years": 2.0} if "exposure" in options else {})] * rows
    response = Client(gate.asgi).post(f"/deployments/d/predict{query}", json=body)

    assert 200 == response.status, response.body
    assert (rows <= MANY_ROWS) == (threads["loop"] == threads["function"])


def test_rules_act_on_many_rows_as_on_single_rows():
    rules = [
        LowObservationRegion("plan", ["free"], action=OverridePrediction(-1)),
        LowObservationRegion("visits", [1, 2, 3], missing="trigger"),
        OutlyingInput("age", 10, 40, action=OverridePrediction(0.5)),
        UncertainPrediction(50, 60),
    ]
    schema = Schema.of(age=float, plan=str, visits=Column("visits", "integer", nullable=True))
    gate = Gate([Deployment("d", double_age, schema=schema, humility=rules)], keys="open")
    rows = [
        {"age": index % 50, "plan": ["free", "pro"][index % 2], "visits": [1, 2, 5, None][index // 2 % 4]}
        for index in range(100)
    ]
    prediction = gate.score("d", rows)
    singles = [gate.score("d", row) for row in rows]

    assert [single.values[0] for single in singles] == prediction.values.tolist()
    assert [single.humility[0] for single in singles] == list(prediction.humility)
    assert {0, 1, 2, 3, 4} == set(map(len, prediction.humility))
