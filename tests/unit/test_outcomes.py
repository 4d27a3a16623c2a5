"""Outcomes of predictions: reports by callers, accuracy, and comparison of versions."""

import numpy as np
import pytest

from modelgate import ConfigurationError, Deployment, Gate, OutcomeLog, Output, Prediction, Schema
from modelgate.errors import StoreError
from modelgate.testing import Client
from support.databases import DATABASES, make_database
from support.keys import KEY
from support.waiting import SOON

OUTCOMES = "/deployments/churn/outcomes"
SCHEMA = Schema.of(chance=float, order=int)
CLASSES = ["no", "yes"]


def predict(table):
    """Predict "yes" if the probability in the column *chance* is at least a half."""
    probabilities = np.column_stack([1 - table["chance"], table["chance"]])
    labels = np.array(CLASSES)[(table["chance"] >= 0.5).astype(int)]
    return Prediction([Output("churn", labels, CLASSES, probabilities)])


@pytest.fixture(params=DATABASES)
def database(request):
    return make_database(request.param, request)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'outcomes.db'}"


def make_gate(log, model=predict, **options):
    deployment = Deployment("churn", model, schema=SCHEMA, version="3")
    gate = Gate([deployment], **{"keys": "open", "on_prediction": log, **options})
    return gate, Client(gate.wsgi)


def send(client, log, rows):
    """Score pairs of a probability and an order. Return the request id."""
    body = [{"chance": chance, "order": order} for chance, order in rows]
    response = client.post("/simple/churn", json=body)
    assert 200 == response.status
    assert log.flush(SOON)
    return response.header("x-request-id")


def report(client, *outcomes):
    answer = client.post(OUTCOMES, json={"outcomes": list(outcomes)})
    assert 200 == answer.status, answer.body
    return answer.json()


def test_outcomes_by_request_id_and_by_association(database):
    log = OutcomeLog(database, association="order", min_rows=3)
    gate, client = make_gate(log)
    first = send(client, log, [(0.9, 1), (0.8, 2)])
    send(client, log, [(0.3, 7)])
    answer = report(
        client,
        {"request_id": first, "actual": "yes"},
        {"request_id": first, "row": 1, "actual": "no"},
        {"association": 7, "actual": "no"},
        {"association": "8", "actual": "no"},
        {"request_id": "another", "actual": "no"},
        {"association": "7", "actual": 1},
    )
    accuracy = client.get(OUTCOMES).json()
    gate.close()
    [version] = accuracy["versions"]

    assert {"stored": 3, "unknown": [3, 4], "mismatched": [5]} == answer
    assert ("3", 3, 3, "error_rate") == tuple(
        version[name] for name in ("version", "predictions", "outcomes", "measure")
    )
    assert pytest.approx(1 / 3) == version["error"]
    assert [(1, 0.7, 1), (1, 0.8, 0), (1, 0.9, 1)] == [
        (each["rows"], pytest.approx(each["probability"]), each["accuracy"])
        for each in version["calibration"]
    ]
    assert pytest.approx((0.3 + 0.8 + 0.1) / 3) == version["calibration_error"]


def test_later_outcome_replaces_an_earlier_one(url):
    log = OutcomeLog(url, min_rows=1)
    gate, client = make_gate(log)
    request_id = send(client, log, [(0.9, 1)])
    report(client, {"request_id": request_id, "actual": "no"})
    before = log.accuracy("churn").versions[0].error
    report(client, {"request_id": request_id, "actual": "yes"})
    [version] = log.accuracy("churn").versions
    gate.close()

    assert (1.0, 0.0, 1) == (before, version.error, version.outcomes)


def test_association_names_newest_prediction(url):
    log = OutcomeLog(url, association="order", min_rows=1)
    gate, client = make_gate(log)
    send(client, log, [(0.1, 7)])
    send(client, log, [(0.9, 7)])
    report(client, {"association": "7", "actual": "yes"})
    [version] = log.accuracy("churn").versions
    gate.close()

    assert (2, 1, 0.0) == (version.predictions, version.outcomes, version.error)


def test_association_may_be_a_passthrough_column(url):
    log = OutcomeLog(url, association="customer", min_rows=1)
    gate, client = make_gate(log)
    body = [{"chance": 0.9, "order": 1, "customer": "c-7"}]
    answer = client.post("/deployments/churn/predict?passthrough=customer", json=body)
    log.flush(SOON)

    assert 200 == answer.status, answer.body
    assert 1 == report(client, {"association": "c-7", "actual": "yes"})["stored"]
    gate.close()


def test_association_may_have_any_character(database):
    """PostgreSQL cannot store the character 0: one such row would keep all others from being stored."""
    log = OutcomeLog(database, association="customer")
    gate, client = make_gate(log)
    body = [{"chance": 0.9, "order": 1, "customer": "c\0"}]
    client.post("/deployments/churn/predict?passthrough=customer", json=body)
    is_written = log.flush(SOON)
    answer = report(client, {"association": "c\0", "actual": "yes"}, {"request_id": "c\0", "actual": "yes"})
    gate.close()

    assert is_written
    assert (1, [1]) == (answer["stored"], answer["unknown"])


def test_last_range_of_probabilities_includes_1(url):
    log = OutcomeLog(url, min_rows=1)
    gate, client = make_gate(log)
    request_id = send(client, log, [(0.95, 1), (1.0, 2)])
    report(client, *({"request_id": request_id, "row": row, "actual": "yes"} for row in (0, 1)))
    [version] = log.accuracy("churn").versions
    gate.close()

    assert [(2, 0.975)] == [(each.rows, each.probability) for each in version.calibration]


@pytest.mark.slow
def test_failure_to_delete_old_predictions_stores_none_twice(url, monkeypatch):
    log = OutcomeLog(url, min_rows=1)
    prune, calls = log._tables.prune, iter([StoreError])

    def fail_once(before):
        for error in calls:
            raise error
        prune(before)

    monkeypatch.setattr(log._tables, "prune", fail_once)
    gate, client = make_gate(log)
    send(client, log, [(0.9, 1)])
    [version] = log.accuracy("churn").versions
    gate.close()

    assert 1 == version.predictions


def test_hypothetical_rows_are_not_stored(url):
    log = OutcomeLog(url)
    gate, client = make_gate(log)
    path, row = "/deployments/churn/predict?hypothetical=", {"chance": 0.5, "order": 1}
    made_up, real = (client.post(path + flag, json=row).header("x-request-id") for flag in ("true", "false"))
    assert log.flush(SOON)
    answer = report(client, *({"request_id": request, "actual": "no"} for request in (made_up, real)))
    gate.close()

    assert {"stored": 1, "unknown": [0], "mismatched": []} == answer


def test_numbers_have_an_absolute_error(url):
    log = OutcomeLog(url, min_rows=2)
    gate, client = make_gate(log, lambda table: table["chance"] * 10)
    request_id = send(client, log, [(0.5, 1), (0.7, 2)])
    answer = report(
        client,
        {"request_id": request_id, "actual": 6},
        {"request_id": request_id, "row": 1, "actual": 4.5},
        {"request_id": request_id, "row": 1, "actual": "a lot"},
    )
    [version] = log.accuracy("churn").versions
    gate.close()

    assert [2] == answer["mismatched"]
    assert ("absolute_error", pytest.approx((1 + 2.5) / 2), []) == (
        version.measure,
        version.error,
        version.calibration,
    )


def test_figures_need_a_minimum_sample(url):
    log = OutcomeLog(url, min_rows=2)
    gate, client = make_gate(log)
    report(client, {"request_id": send(client, log, [(0.9, 1)]), "actual": "no"})
    [version] = log.accuracy("churn").versions
    gate.close()

    assert (1, None, [], None) == (
        version.outcomes,
        version.error,
        version.calibration,
        version.calibration_error,
    )


class Arm:
    """Model that predicts "yes" with the probability *accuracy*."""

    def __init__(self, accuracy):
        self.random, self.accuracy = np.random.default_rng(0), accuracy

    def __call__(self, table):
        positive = np.where(self.random.random(len(table)) < self.accuracy, 0.9, 0.1)
        return Prediction(
            [
                Output(
                    "churn",
                    np.array(CLASSES)[(positive > 0.5).astype(int)],
                    CLASSES,
                    np.column_stack([1 - positive, positive]),
                )
            ]
        )


def serve_two_versions(url, accuracies, requests, sticky_by="request"):
    """Serve two versions at the same time, report "yes" for each prediction, and return the comparison."""
    log = OutcomeLog(url, sticky_by=sticky_by)
    clients = []
    for version, accuracy in zip("34", accuracies, strict=True):
        deployment = Deployment("churn", Arm(accuracy), schema=SCHEMA, version=version)
        clients.append(Client(Gate([deployment], keys="open", on_prediction=log).wsgi))
    ids = []
    for _ in range(requests):
        for client in clients:
            answer = client.post("/simple/churn", json=[{"chance": 0.5, "order": 1}])
            ids.append(answer.header("x-request-id"))
    log.flush(SOON)
    report(clients[0], *({"request_id": request_id, "actual": "yes"} for request_id in ids))
    [arms] = log.accuracy("churn").arms
    log.close()
    return arms


@pytest.mark.slow
def test_arms_are_compared(url):
    arms = serve_two_versions(url, (0.6, 0.95), 150)

    assert (("3", "4"), "4") == (arms.versions, arms.winner)
    assert arms.low <= arms.difference <= arms.high < 0
    assert 0.3 < -arms.difference < 0.4


@pytest.mark.slow
def test_versions_of_the_same_owner_are_one_observation(url):
    """All rows have the same value in the column, so that there is nothing to compare."""
    arms = serve_two_versions(url, (0.6, 0.95), 150, sticky_by="column:order")

    assert (None, None) == (arms.difference, arms.winner)


def test_missing_column_of_rollout_is_logged(url, caplog):
    log = OutcomeLog(url, sticky_by="column:customer")
    gate, client = make_gate(log)
    send(client, log, [(0.9, 1)])
    gate.close()

    assert "rows have no column:customer: versions are compared by request" in caplog.text


def test_old_predictions_are_deleted(url):
    now = [0.0]
    log = OutcomeLog(url, days=30, clock=lambda: now[0])
    gate, client = make_gate(log)
    send(client, log, [(0.9, 1)])
    before = log.accuracy("churn").versions
    now[0] = 4e9
    send(client, log, [(0.9, 1)])
    after = log.accuracy("churn").versions
    gate.close()

    assert [1] == [version.predictions for version in before]
    assert [1] == [version.predictions for version in after]


@pytest.mark.parametrize(
    ("scope", "post", "get"),
    [
        ("churn", 200, 200),
        ("churn:outcomes", 200, 403),
        ("churn:monitor", 403, 200),
        (["churn:predict", "churn:read"], 403, 403),
    ],
)
def test_endpoints_require_scopes(url, scope, post, get):
    log = OutcomeLog(url)
    gate, client = make_gate(log, keys={KEY: scope})
    headers = {"x-api-key": KEY}
    outcomes = {"outcomes": [{"request_id": "a", "actual": "no"}]}

    assert (post, get) == (
        client.post(OUTCOMES, json=outcomes, headers=headers).status,
        client.get(OUTCOMES, headers=headers).status,
    )
    gate.close()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "outcomes"),
        ({"outcomes": []}, 400, "must have 1 to 10000 items"),
        ({"outcomes": [{"actual": "no"}]}, 400, "outcomes[0]: send either association, or request_id"),
        ({"outcomes": [{"actual": "no", "request_id": "a", "association": 1}]}, 400, "send either"),
        ({"outcomes": [{"actual": None, "request_id": "a"}]}, 400, "actual"),
        ({"outcomes": [{"actual": 10**20, "request_id": "a"}]}, 400, "actual"),
        ({"outcomes": [{"actual": "no", "id": "a"}]}, 400, "id"),
        ({"outcomes": [{"actual": "no", "request_id": "a", "row": 10**30}]}, 400, "row"),
        ({"outcomes": [{"actual": "no", "request_id": "a", "row": -1}]}, 400, "row"),
    ],
)
def test_malformed_outcomes_are_rejected(url, body, status, message):
    gate, client = make_gate(OutcomeLog(url))
    answer = client.post(OUTCOMES, json=body)
    gate.close()

    assert status == answer.status
    assert message in answer.body.decode()


def test_unknown_deployment_has_no_outcomes(url):
    gate, client = make_gate(OutcomeLog(url))
    answer = client.post("/deployments/price/outcomes", json={"outcomes": [{"request_id": "a", "actual": 1}]})
    gate.close()

    assert 404 == answer.status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"database": None}, "database must be a URL"),
        ({"database": "outcomes.db"}, "database must be sqlite"),
        ({"association": 3}, "association must be a column name or None"),
        ({"sticky_by": "customer"}, "sticky_by must be"),
        ({"min_rows": 0}, "min_rows must be"),
        ({"days": 0}, "days must be"),
    ],
)
def test_invalid_option_is_rejected(options, message):
    with pytest.raises(ConfigurationError, match=message):
        OutcomeLog(**options)
