"""Several models answer for one deployment."""

import json
import math
import subprocess
import sys
from collections import Counter

import pytest

from modelgate import CSV, ConfigurationError, Deployment, Gate, MemoryStore, Rollout, Split
from modelgate.flow import drive
from modelgate.keys import SqlKeyStore
from modelgate.scoring import Query
from modelgate.scoring.rollout import Choice, place_of
from modelgate.testing import Client
from releases import release

ROW = {"x0": 1.0}


@pytest.fixture
def store():
    return MemoryStore({f"churn@{version}": release(version) for version in (3, 4, 5)})


def gate_of(store, rollout, **options):
    options = {"keys": "open", **options}
    return Gate([Deployment("churn", "store:churn@3", rollout=rollout)], store=store, **options)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Rollout({}), r"percents=\{\}"),
        (lambda: Rollout("store:churn@4"), "percents='store:churn@4'"),
        (lambda: Rollout({"store:churn@4": 101}), "percents: 101: accepts numbers from 0 to 100"),
        (lambda: Rollout({"store:churn@4": True}), "percents: True"),
        (lambda: Rollout({"store:churn@4": math.nan}), "percents: nan"),
        (lambda: Rollout({"store:churn@4": 60, "store:churn@5": 60}), "no more than 100 together"),
        (lambda: Rollout({release(4).model: 5}), "accepts what tells its version"),
        (lambda: Rollout({"churn.skops": 5}), "accepts what tells its version"),
        (lambda: Rollout({"store:churn@4": 5}, by="owner"), "by='owner': accepts"),
        (lambda: Rollout({"store:churn@4": 5}, by="column:"), "by='column:': accepts"),
        (lambda: Rollout({"store:churn@4": 5}, by=None), "by=None: accepts"),
        (lambda: Deployment("churn", "store:churn", rollout=0.05), "rollout=0.05: accepts a Rollout"),
    ],
)
def test_what_cannot_be(make, told):
    """The option is named, and what it accepts."""
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_a_candidate_that_cannot_work_is_told_at_the_start():
    """As the deployment's own model is."""
    with pytest.raises(ConfigurationError, match="needs Gate"):
        Gate([Deployment("churn", release(3), rollout=Rollout({"store:churn@4": 5}))], keys="open")


def test_two_models_that_no_answer_could_tell_apart():
    """Are refused where that can be seen at once."""
    with pytest.raises(ConfigurationError, match="two of the models are version '3': give each"):
        Gate([Deployment("churn", release(3), rollout=Rollout({release(3, said=5): 5}))], keys="open")


def test_a_name_that_says_another_version_than_the_model(tmp_path, caplog):
    """Is told in the log, as answers tell that of the model."""
    release(1, said=3).save(tmp_path / "churn@3.mgpkg")
    release(1, said=4).save(tmp_path / "churn@v1.mgpkg")
    gate = gate_of(tmp_path, Rollout({tmp_path / "churn@v1.mgpkg": 50}))
    gate.warm()

    assert ["the model churn@3 says that it is version 1, and its name says 3"] == caplog.messages


def test_an_answer_tells_which_version_it_is_from(store):
    """In the field of its wire format where there is one, and in a header; in the access log, too."""
    client = Client(gate_of(store, Rollout({"store:churn@4": 50})).wsgi)
    seen = Counter()
    for _ in range(200):
        answer = client.post("/predict/churn", json=[ROW] * 2)
        told = answer.json()
        seen[(*told["result"], told["model_version"], answer.header("x-model-version"))] += 1

    assert {(3, 3, "3", "3"), (4, 4, "4", "4")} == set(seen)
    # Fails once in 10^11 runs.
    assert 50 <= min(seen.values())


def test_without_a_rollout_there_is_no_header(store):
    """Its version is told as ever."""
    assert None is Client(gate_of(store, None).wsgi).post("/predict/churn", json=ROW).header(
        "x-model-version"
    )


def test_a_path_that_names_a_version_gets_it(store):
    """Whatever its share; what is told of the deployment is told of its own model."""
    client = Client(gate_of(store, Rollout({"store:churn@4": 0})).wsgi)
    told = [client.post(f"/models/churn/{version}/infer", json=ROW) for version in (3, 4, 5)]

    assert [(200, 3), (200, 4), (404, None)] == [(it.status, it.json().get("result")) for it in told]
    assert "This deployment has version 3 and 4" == told[2].json()["error"]["message"]
    assert [200, 404] == [client.get(f"/v2/models/churn/versions/{it}").status for it in (3, 4)]
    assert "3" == client.get("/deployments/churn").json()["version"]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_who_has_a_key_stays_with_one_model(store, interface):
    """Everybody does, and not all with the same."""
    keys = {f"the-secret-key-of-caller-{at}": "churn" for at in range(40)}
    gate = gate_of(store, Rollout({"store:churn@4": 50}, by="key"), keys=keys, limits="9999/day")
    client = Client(getattr(gate, interface))
    rounds = [
        [client.post("/predict/churn", json=ROW, headers={"x-api-key": key}).json()["result"] for key in keys]
        for _ in range(3)
    ]

    assert rounds[0] == rounds[1] == rounds[2]
    assert {3, 4} == set(rounds[0])


def test_all_keys_of_an_owner_stay_with_one_model(store, tmp_path):
    """The owner is who stays."""
    keys = SqlKeyStore(f"sqlite:///{tmp_path}/keys.db")
    gate = gate_of(store, Rollout({"store:churn@4": 50}, by="key"), keys=keys)
    client, seen = Client(gate.wsgi), {}
    for owner in "abcdefgh":
        made = [keys.create(owner=owner, scopes="churn").key for _ in range(5)]
        answers = [client.post("/predict/churn", json=ROW, headers={"x-api-key": key}) for key in made]
        seen[owner] = {answer.json()["result"] for answer in answers}
    keys.close()

    assert {1} == set(map(len, seen.values()))
    assert {3, 4} == set.union(*seen.values())


def test_who_has_no_key_stays_with_the_deployments_own(store):
    """There is nothing that could keep to another."""
    gate = gate_of(store, Rollout({"store:churn@4": 100}, by="key"))

    assert 3 == Client(gate.wsgi).post("/predict/churn", json=ROW).json()["result"]
    assert [3] == gate.score("churn", ROW).values.tolist()


def picked(rows, rollout, name="churn"):
    return drive(Choice(rollout, name).pick(Query(rows)))


ALL = Rollout({"store:churn@4": 100}, by="column:customer")
HALF = Rollout({"store:churn@4": 50}, by="column:customer")


@pytest.mark.parametrize("customer", [7, "c-7", "ü", 1.5])
def test_a_value_stays_in_whatever_way_it_is_sent(customer):
    """JSON, CSV, lists or Python: a column that the model does not ask for will do."""
    row = {"x0": 1.0, "customer": customer}
    ways = [
        json.dumps(row).encode(),
        json.dumps([row, {"customer": "other"}], ensure_ascii=False).encode(),
        CSV(f"customer,x0\n{customer},1\nother,1\n".encode()),
        Split(["x0", "customer"], [[1.0, customer]]),
        row,
        [row, {"customer": "other"}],
        {**row, "customer": 7.0} if customer == 7 else row,
    ]

    assert {0, 1} == {picked(ways[0], HALF, f"d{at}") for at in range(40)}
    for at in range(40):
        assert 1 == len({picked(way, HALF, f"d{at}") for way in ways})


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
        Split(None, [[7]]),
        Split(["customer"], []),
        [],
        None,
    ],
)
def test_rows_without_a_value_stay_with_the_deployments_own(rows):
    """What is wrong with them its schema tells."""
    assert 0 == picked(rows, ALL)


def test_a_batch_goes_whole_to_one_model(store):
    """That of its first row."""
    gate = gate_of(store, HALF)
    client, seen = Client(gate.wsgi), set()
    for first in range(30):
        rows = [{**ROW, "customer": first}, *({**ROW, "customer": other} for other in range(30))]
        result = client.post("/predict/churn", json=rows).json()["result"]
        seen.add(result[0])

        assert [result[0]] * 31 == result
        assert result[0] == client.post("/predict/churn", json=rows[0]).json()["result"]
    assert {3, 4} == seen


def test_a_large_body(store):
    """Its first row is found beside the event loop."""
    gate = gate_of(store, ALL)
    rows = [{**ROW, "customer": 1}] * 5000

    assert [4] * 5000 == Client(gate.asgi).post("/predict/churn", json=rows).json()["result"]


def test_places_are_the_same_in_every_process():
    """Not those of Python's own hash."""
    told = "from modelgate.scoring.rollout import place_of; print(place_of('churn', 'c-7'))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)

    assert float(done.stdout) == place_of("churn", "c-7") == 0.7809473209878133


def test_a_rollout_grows_and_ends(store):
    """Its models stay loaded: no step reads a model a second time, and the last makes the new one the own."""
    loads, load = [], store.load
    store.load = lambda name: loads.append(name) or load(name)
    gate = gate_of(store, Rollout({"store:churn@4": 0}))
    gate.warm()
    client, seen = Client(gate.wsgi), []
    for step in (
        lambda: gate.swap("churn", rollout=Rollout({"store:churn@4": 100})),
        lambda: gate.rollback("churn"),
        lambda: gate.swap("churn", rollout=Rollout({"store:churn@4": 100})),
        lambda: gate.swap("churn", "store:churn@4"),
    ):
        step()
        answer = client.post("/predict/churn", json=ROW)
        seen.append((answer.json()["result"], answer.header("x-model-version")))

    assert [(4, "4"), (3, "3"), (4, "4"), (4, None)] == seen
    assert ["churn@3", "churn@4"] == loads
    assert "4" == client.get("/deployments/churn").json()["version"]


def test_a_candidate_that_fails_is_the_fault_of_its_requests_alone(store, caplog):
    """The others are answered."""
    del store._models["churn@4"]
    gate = gate_of(store, Rollout({"store:churn@4": 50}, by="column:customer"))
    client = Client(gate.wsgi)
    seen = {client.post("/simple/churn", json={**ROW, "customer": at}).status for at in range(30)}

    assert {200, 404} == seen
