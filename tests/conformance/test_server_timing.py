"""What every mount tells of its time, to who asks."""

import re

import pytest

from modelgate import Deployment, Gate, MemoryStore, Schema
from support.keys import KEY
from support.mounts import Mounted, make_gate

ASKS = {"prefer": "return=minimal, Server-Timing"}
BEARER = {"authorization": f"Bearer {KEY}"}

# W3C Server Timing, section 3: metrics with parameters whose values are tokens.
METRIC = re.compile(r"([a-z]+)(?:;desc=([a-z]+))?;dur=(\d+\.\d{3})")


def read_phases(answer):
    """Return the description and duration of each phase."""
    matches = [METRIC.fullmatch(metric) for metric in answer.header("server-timing").split(", ")]
    return {match[1]: (match[2], float(match[3])) for match in matches}


@pytest.fixture
def stored(mount):
    """Return a gate whose model is loaded by the first request."""
    store = MemoryStore({"double": lambda table: table["x"] * 2})
    deployment = Deployment("double", "store:double", schema=Schema.of(x=float))
    return Mounted(mount, Gate([deployment], keys={KEY: "double"}, store=store))


def send(mounted, body, **fields):
    return mounted.post("/simple/double", json=body, headers={**BEARER, **ASKS, **fields})


def test_server_timing_has_phases(stored):
    """In order, with a sum of at most the total; the model phase has the cache state."""
    first, second = read_phases(send(stored, {"x": 1})), read_phases(send(stored, {"x": 1}))

    assert ["auth", "checks", "cache", "model", "encode", "total"] == list(first)
    assert ("miss", "hit") == (first["cache"][0], second["cache"][0])
    assert sum(spent for _, spent in list(second.values())[:-1]) <= second["total"][1] + 0.01


def test_server_timing_of_rejected_rows_has_no_prediction(stored):
    answer = send(stored, {"y": 1})

    assert 400 == answer.status
    assert ["auth", "total"] == list(read_phases(answer))


@pytest.mark.parametrize("key", ["a-key-that-nobody-has", ""])
def test_server_timing_needs_a_key(stored, key):
    """The duration of a key lookup is not public."""
    answer = send(stored, {"x": 1}, authorization=f"Bearer {key}")

    assert (401, None) == (answer.status, answer.header("server-timing"))


@pytest.mark.parametrize("prefer", [None, "wait=5", "server-timings", 'x="server-timing"'])
def test_server_timing_is_off_by_default(stored, prefer):
    fields = BEARER if prefer is None else {**BEARER, "prefer": prefer}
    answer = stored.post("/simple/double", json={"x": 1}, headers=fields)

    assert (200, None) == (answer.status, answer.header("server-timing"))


def test_server_timing_of_open_gate(mount, wine, wine_row):
    mounted = Mounted(mount, make_gate(wine, keys="open"))
    answer = mounted.post("/simple/wine", json=wine_row, headers=ASKS)

    assert {"auth", "checks", "cache", "model", "encode", "total"} == set(read_phases(answer))


def test_server_timing_of_other_routes_has_no_model(stored):
    answer = stored.request("GET", "/deployments/double", headers={**BEARER, **ASKS})

    assert ["auth", "total"] == list(read_phases(answer))
