"""Several models answer for one deployment."""

import json
import math
import subprocess
import sys
from collections import Counter

import pytest

from modelgate import CSV, ConfigurationError, Deployment, Gate, MemoryStore, Rollout, Schema, SplitRows
from modelgate.deployments.rollout import TrafficSplitter, hash_to_unit
from modelgate.flow import drive
from modelgate.keys import SqlKeyStore
from modelgate.scoring import Query
from modelgate.testing import Client
from support.packages import make_package

ROW = {"x0": 1.0}


@pytest.fixture
def store():
    return MemoryStore({f"churn@{version}": make_package(version) for version in (3, 4, 5)})


def make_gate(store, rollout, **options):
    options = {"keys": "open", **options}
    return Gate([Deployment("churn", "store:churn@3", rollout=rollout)], store=store, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rollout({}), r"weights must be \{model: percent\}.* .got \{\}"),
        (lambda: Rollout("store:churn@4"), "weights must be .*got 'store:churn@4'"),
        (lambda: Rollout({"store:churn@4": 101}), "weights must be numbers from 0 to 100 .got 101"),
        (lambda: Rollout({"store:churn@4": True}), "weights must be numbers.*got True"),
        (lambda: Rollout({"store:churn@4": math.nan}), "weights must be numbers.*got nan"),
        (lambda: Rollout({"store:churn@4": 60, "store:churn@5": 60}), "at most 100 in total"),
        (lambda: Rollout({make_package(4).model: 5}), "the model must be a package or"),
        (lambda: Rollout({"churn.skops": 5}), "the model must be a package or"),
        (lambda: Rollout({"store:churn@4": 5}, sticky_by="owner"), "sticky_by must be .*got 'owner'"),
        (lambda: Rollout({"store:churn@4": 5}, sticky_by="column:"), "sticky_by must be .*got 'column:'"),
        (lambda: Rollout({"store:churn@4": 5}, sticky_by=None), "sticky_by must be .*got None"),
        (lambda: Deployment("churn", "store:churn", rollout=0.05), "rollout must be a Rollout"),
    ],
)
def test_rollout_rejects_invalid_options(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_candidate_is_checked_at_construction():
    with pytest.raises(ConfigurationError, match="needs a store: Gate"):
        Gate([Deployment("churn", make_package(3), rollout=Rollout({"store:churn@4": 5}))], keys="open")


def test_models_need_distinct_versions():
    with pytest.raises(ConfigurationError, match=r"different versions .got '3' twice"):
        Gate(
            [Deployment("churn", make_package(3), rollout=Rollout({make_package(3, prediction=5): 5}))],
            keys="open",
        )


def test_version_mismatch_is_logged(tmp_path, caplog):
    make_package(1, prediction=3).save(tmp_path / "churn@3.mgpkg")
    make_package(1, prediction=4).save(tmp_path / "churn@v1.mgpkg")
    gate = make_gate(tmp_path, Rollout({tmp_path / "churn@v1.mgpkg": 50}))
    gate.deployments.warm()

    assert ["model churn@3: version mismatch: the model has version 1"] == caplog.messages


def test_response_has_the_version_of_its_model(store):
    """In a header, in the field of the wire format if it has one, and in the access log."""
    client = Client(make_gate(store, Rollout({"store:churn@4": 50})).wsgi)
    seen = Counter()
    for _ in range(200):
        answer = client.post("/predict/churn", json=[ROW] * 2)
        body = answer.json()
        seen[(*body["result"], body["model_version"], answer.header("x-model-version"))] += 1

    assert {(3, 3, "3", "3"), (4, 4, "4", "4")} == set(seen)
    # Fails once in 10^11 runs.
    assert 50 <= min(seen.values())


def test_version_header_is_absent_without_a_rollout(store):
    assert None is Client(make_gate(store, None).wsgi).post("/predict/churn", json=ROW).header(
        "x-model-version"
    )


def test_path_with_a_version_selects_the_model(store):
    """Metadata describes the deployment's own model."""
    client = Client(make_gate(store, Rollout({"store:churn@4": 0})).wsgi)
    responses = [client.post(f"/models/churn/{version}/infer", json=ROW) for version in (3, 4, 5)]

    assert [(200, 3), (200, 4), (404, None)] == [(it.status, it.json().get("result")) for it in responses]
    assert "This deployment has no such version: use 3 or 4" == responses[2].json()["error"]["message"]
    assert [200, 404] == [client.get(f"/v2/models/churn/versions/{it}").status for it in (3, 4)]
    assert "3" == client.get("/deployments/churn").json()["version"]


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_sticky_key_always_gets_the_same_model(store, interface):
    keys = {f"the-secret-key-of-caller-{number}": "churn" for number in range(40)}
    gate = make_gate(store, Rollout({"store:churn@4": 50}, sticky_by="key"), keys=keys, limits="9999/day")
    client = Client(getattr(gate, interface))
    rounds = [
        [client.post("/predict/churn", json=ROW, headers={"x-api-key": key}).json()["result"] for key in keys]
        for _ in range(3)
    ]

    assert rounds[0] == rounds[1] == rounds[2]
    assert {3, 4} == set(rounds[0])


@pytest.mark.slow
def test_sticky_key_uses_the_owner(store, tmp_path):
    keys = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db")
    gate = make_gate(store, Rollout({"store:churn@4": 50}, sticky_by="key"), keys=keys)
    client, seen = Client(gate.wsgi), {}
    for owner in "abcdefgh":
        made = [keys.create(owner=owner, scopes="churn").key for _ in range(5)]
        answers = [client.post("/predict/churn", json=ROW, headers={"x-api-key": key}) for key in made]
        seen[owner] = {answer.json()["result"] for answer in answers}
    keys.close()

    assert {1} == set(map(len, seen.values()))
    assert {3, 4} == set.union(*seen.values())


def test_sticky_key_without_a_key_gets_the_own_model(store):
    gate = make_gate(store, Rollout({"store:churn@4": 100}, sticky_by="key"))

    assert 3 == Client(gate.wsgi).post("/predict/churn", json=ROW).json()["result"]
    assert [3] == gate.score("churn", ROW).values.tolist()


def pick(rows, rollout, name="churn"):
    return drive(TrafficSplitter(rollout, name, Schema.of(x0=float)).pick(Query(rows)))


ALL = Rollout({"store:churn@4": 100}, sticky_by="column:customer")
HALF = Rollout({"store:churn@4": 50}, sticky_by="column:customer")


@pytest.mark.slow
@pytest.mark.parametrize("customer", [7, "c-7", "ü", 1.5])
def test_sticky_column_is_the_same_in_every_format(customer):
    """In JSON, CSV, lists and Python; the model need not use the column."""
    row = {"x0": 1.0, "customer": customer}
    ways = [
        json.dumps(row).encode(),
        json.dumps([row, {"customer": "other"}], ensure_ascii=False).encode(),
        CSV(f"customer,x0\n{customer},1\nother,1\n".encode()),
        SplitRows(["x0", "customer"], [[1.0, customer]]),
        row,
        [row, {"customer": "other"}],
        {**row, "customer": 7.0} if customer == 7 else row,
    ]

    assert {0, 1} == {pick(ways[0], HALF, f"d{number}") for number in range(40)}
    for number in range(40):
        assert 1 == len({pick(way, HALF, f"d{number}") for way in ways})


@pytest.mark.parametrize(
    "rows",
    [
        b'{"x0": 1}',
        b'{"customer": null}',
        b'{"customer": [1]}',
        b"[]",
        b'[{"x0": 1}, {"customer": 7}]',
        b"\xff",
        b"7",
        CSV(b""),
        CSV(b"customer\n"),
        CSV(b'customer\n"'),
        SplitRows(None, [[7]]),
        SplitRows(None, []),
        SplitRows(["customer"], []),
        [],
        None,
    ],
)
def test_sticky_column_without_a_value_gets_the_own_model(rows):
    """Invalid rows are reported by the schema."""
    assert 0 == pick(rows, ALL)


@pytest.mark.parametrize("schema", [None, Schema.of(x0=float)])
def test_sticky_column_of_rows_without_names(store, schema):
    """The schema names the cells."""
    rollout = Rollout({"store:churn@4": 50}, sticky_by="column:x0")
    deployment = Deployment("churn", "store:churn@3", rollout=rollout, schema=schema, csv_header=False)
    gate, seen = Gate([deployment], store=store, keys="open"), set()
    for number in range(20):
        ways = {"x0": number}, CSV(f"{number}\n".encode()), SplitRows(None, [[number]])
        versions = {gate.score("churn", rows).values[0] for rows in ways}
        seen |= versions

        assert 1 == len(versions)
    assert {3, 4} == seen


def test_sticky_column_is_read_while_the_own_model_is_missing(store):
    """CSV with a header line needs no schema."""
    del store._models["churn@3"]
    gate = make_gate(store, ALL)

    assert [4] == gate.score("churn", CSV(b"customer,x0\n7,1\n")).values.tolist()


def test_batch_goes_to_the_model_of_its_first_row(store):
    gate = make_gate(store, HALF)
    client, seen = Client(gate.wsgi), set()
    for first in range(30):
        rows = [{**ROW, "customer": first}, *({**ROW, "customer": other} for other in range(30))]
        result = client.post("/predict/churn", json=rows).json()["result"]
        seen.add(result[0])

        assert [result[0]] * 31 == result
        assert result[0] == client.post("/predict/churn", json=rows[0]).json()["result"]
    assert {3, 4} == seen


def test_sticky_column_of_a_large_body_is_read_in_a_thread(store):
    gate = make_gate(store, ALL)
    rows = [{**ROW, "customer": 1}] * 5000

    assert [4] * 5000 == Client(gate.asgi).post("/predict/churn", json=rows).json()["result"]


@pytest.mark.slow
def test_hash_to_unit_is_the_same_in_every_process():
    code = "from modelgate.deployments.rollout import hash_to_unit; print(hash_to_unit('churn', 'c-7'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert float(done.stdout) == hash_to_unit("churn", "c-7") == 0.7809473209878133


def test_rollout_steps_load_no_model_twice(store):
    """Up to the last step, which makes the new model the own one."""
    loads, load = [], store.load
    store.load = lambda name: loads.append(name) or load(name)
    gate = make_gate(store, Rollout({"store:churn@4": 0}))
    gate.deployments.warm()
    client, seen = Client(gate.wsgi), []
    for step in (
        lambda: gate.deployments.swap("churn", rollout=Rollout({"store:churn@4": 100})),
        lambda: gate.deployments.rollback("churn"),
        lambda: gate.deployments.swap("churn", rollout=Rollout({"store:churn@4": 100})),
        lambda: gate.deployments.swap("churn", "store:churn@4"),
    ):
        step()
        answer = client.post("/predict/churn", json=ROW)
        seen.append((answer.json()["result"], answer.header("x-model-version")))

    assert [(4, "4"), (3, "3"), (4, "4"), (4, None)] == seen
    assert ["churn@3", "churn@4"] == loads
    assert "4" == client.get("/deployments/churn").json()["version"]


def test_failing_candidate_only_affects_its_requests(store, caplog):
    del store._models["churn@4"]
    gate = make_gate(store, Rollout({"store:churn@4": 50}, sticky_by="column:customer"))
    client = Client(gate.wsgi)
    seen = {client.post("/simple/churn", json={**ROW, "customer": number}).status for number in range(30)}

    assert {200, 404} == seen
