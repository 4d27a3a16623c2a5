"""What every mount tells of its time, to who asks."""

import re

import pytest

from conformance.conftest import Mounted, make_gate
from conftest import KEY
from modelgate import Deployment, Gate, MemoryStore, Schema

ASKS = {"prefer": "return=minimal, Server-Timing"}
BEARER = {"authorization": f"Bearer {KEY}"}

# W3C Server Timing, section 3: metrics with parameters whose values are tokens.
METRIC = re.compile(r"([a-z]+)(?:;desc=([a-z]+))?;dur=(\d+\.\d{3})")


def phases(answer):
    """By name, what is told of each, and for how long."""
    told = [METRIC.fullmatch(metric) for metric in answer.header("server-timing").split(", ")]
    return {found[1]: (found[2], float(found[3])) for found in told}


@pytest.fixture
def stored(mount):
    """A gate whose model is loaded when it is first asked for."""
    store = MemoryStore({"double": lambda table: table["x"] * 2})
    deployment = Deployment("double", "store:double", schema=Schema.of(x=float))
    return Mounted(mount, Gate([deployment], keys={KEY: "double"}, store=store))


def ask(mounted, body, **fields):
    return mounted.post("/simple/double", json=body, headers={**BEARER, **ASKS, **fields})


def test_the_phases_of_an_answer(stored):
    """In their order, adding up to no more than the total; and whether the model was in memory."""
    first, second = phases(ask(stored, {"x": 1})), phases(ask(stored, {"x": 1}))

    assert ["auth", "checks", "cache", "model", "encode", "total"] == list(first)
    assert ("miss", "hit") == (first["cache"][0], second["cache"][0])
    assert sum(spent for _, spent in list(second.values())[:-1]) <= second["total"][1] + 0.01


def test_a_refusal_tells_what_there_was(stored):
    """Rows that break the schema never came to the model."""
    answer = ask(stored, {"y": 1})

    assert 400 == answer.status
    assert ["auth", "total"] == list(phases(answer))


@pytest.mark.parametrize("key", ["a-key-that-nobody-has", ""])
def test_nothing_is_told_without_a_key(stored, key):
    """How long a look-up takes is nobody's affair."""
    answer = ask(stored, {"x": 1}, authorization=f"Bearer {key}")

    assert (401, None) == (answer.status, answer.header("server-timing"))


@pytest.mark.parametrize("prefer", [None, "wait=5", "server-timings", 'x="server-timing"'])
def test_nothing_is_told_unasked(stored, prefer):
    """Nobody pays for what they do not want."""
    fields = BEARER if prefer is None else {**BEARER, "prefer": prefer}
    answer = stored.post("/simple/double", json={"x": 1}, headers=fields)

    assert (200, None) == (answer.status, answer.header("server-timing"))


def test_a_gate_that_is_open_tells_everyone(mount, wine, wine_row):
    """And a schema that only the model knows is part of having it."""
    mounted = Mounted(mount, make_gate(wine, keys="open"))
    answer = mounted.post("/simple/wine", json=wine_row, headers=ASKS)

    assert {"auth", "checks", "cache", "model", "encode", "total"} == set(phases(answer))


def test_what_scores_nothing_has_no_model(stored):
    """A page that tells of the gate."""
    answer = stored.request("GET", "/deployments/double", headers={**BEARER, **ASKS})

    assert ["auth", "total"] == list(phases(answer))
