"""Usual requests get the same answer, counts and log lines with the quick path as without it.

Each test asks two equal gates, one of which has its quick path switched off, see `support.quick_path.Pair`.
"""

import asyncio
import json
import logging

import hypothesis
import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

import modelgate
from modelgate import Column, Deadline, Deployment, Gate, MemoryStore, RateLimit, Rollout, Schema, Shadow
from modelgate.humility import OutlyingInput
from modelgate.keys import SqlKeyStore
from modelgate.testing import Client, FakeClock, nearly_valid_rows, valid_rows
from support.hostile_bodies import SCHEMA, hostile_bodies
from support.keys import KEY, OTHER_KEY
from support.marks import examples, slow
from support.quick_path import Pair, read_counts
from support.wire_formats import request_of

ANY_KEY = "a-key-for-every-deployment"
BEARER = {"authorization": f"Bearer {KEY}"}
COLUMNS = Schema([Column("x0", "number"), Column("city", "text"), Column("count", "integer")])
ROW = {"x0": 1.25, "city": "Bern", "count": 3}


@pytest.fixture(params=["wsgi", *slow("asgi")])
def interface(request):
    return request.param


@pytest.fixture(autouse=True)
def access_log():
    """Write the access log, so that its lines are compared too."""
    logger = logging.getLogger("modelgate.access")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@pytest.fixture(scope="module")
def models():
    """Fitted estimators: a classifier with labels, a regression, and one with several outputs."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    labels = np.where(frame["a"] > 0, "yes", "no")
    return {
        "labels": LogisticRegression().fit(frame, labels),
        "numbers": LinearRegression().fit(frame, frame["a"] * 3 + frame["b"]),
        "outputs": LinearRegression().fit(frame, frame[["b", "a"]]),
    }


def double(table):
    if table["x0"][0] == 13:
        raise LookupError("the thirteenth")
    if table["x0"][0] == 14:
        raise modelgate.InvalidInput("The fourteenth is not for sale")
    if table["x0"][0] == 15:
        raise modelgate.Overloaded
    if table["x0"][0] == 16:
        return ["\ud800"]
    return table["x0"] * 2


def make_gate(clock=None, deployments=(), **options):
    """Return a gate of a function and *deployments*, whose limits are on a fake clock."""
    limits = RateLimit("1000/minute; 10000/day", clock=clock or FakeClock())
    gate = Gate(**{"keys": {KEY: "m", OTHER_KEY: "gone", ANY_KEY: "*"}, "limits": limits, **options})
    gate.deployments.add(Deployment("m", double, schema=COLUMNS, endpoint="/score"))
    for deployment in deployments:
        gate.deployments.add(deployment)
    return gate


def make_pair(interface, deployments=(), clock=None, **options):
    pair = Pair(lambda: make_gate(clock, deployments, **options), interface)
    learn_keys(pair)
    return pair


def learn_keys(pair):
    """Send each key once: only keys that were accepted before are looked up at once."""
    for key in (KEY, OTHER_KEY, ANY_KEY):
        pair.post("/deployments/m/predict", json=ROW, headers={"x-api-key": key})
    pair._sent = pair._passed_on = 0


def native(pair, row=ROW, **headers):
    return pair.post("/deployments/m/predict", json=row, headers={**BEARER, **headers})


def mlclever(pair, row=ROW, **members):
    return pair.post("/api/predict", json={"api_key": KEY, "input_data": row, **members})


def simple(pair, row=ROW, path="/simple/m"):
    return pair.post(path, json=row, headers=BEARER)


def test_quick_path_answers_usual_requests(interface):
    pair = make_pair(interface)
    assert 2.5 == native(pair).json()["prediction"]
    assert [2.5] == mlclever(pair).json()["predictions"]
    assert 200 == pair.post("/api/predict", json={"input_data": ROW}, headers=BEARER).status
    assert 200 == pair.post("/api/predict", json={"input_data": ROW}, headers={"x-api-key": KEY}).status
    assert 200 == native(pair, **{"x-request-id": "mine"}).status
    assert 200 == native(pair, **{"user-agent": "x", "accept": "*/*", "x-forwarded-for": "192.0.2.7"}).status
    assert 200 == native(pair, accept="text/csv").status
    assert [{"prediction": 2.5}] * 2 == [simple(pair).json(), simple(pair, path="/score").json()]
    pair.check_counts()

    assert 9 == pair.taken


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels", *slow("numbers", "outputs")])
@pytest.mark.parametrize(
    "options",
    [{}, {"batch": False}, {"offload": True}, {"offload": False}, {"plans": False}, {"decimals": 1}],
    ids=str,
)
def test_quick_path_predicts_with_estimators(interface, models, name, options):
    pair = make_pair(interface, [Deployment("e", models[name], **options)])
    for row in ({"a": 0.123456, "b": -2.5}, {"b": 1, "a": 2}):
        for path, body in (
            ("/deployments/e/predict", row),
            ("/api/predict", {"input_data": row, "deployment": "e"}),
            ("/simple/e", row),
        ):
            assert 200 == pair.post(path, json=body, headers={"x-api-key": ANY_KEY}).status
    pair.check_counts()

    assert pair.taken >= 4


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [None, 0.9])
def test_quick_path_applies_thresholds(interface, models, threshold):
    pair = make_pair(interface, [Deployment("e", models["labels"], threshold=threshold)])
    for value in (-1.0, 0.2, 3.0):
        pair.post("/deployments/e/predict", json={"a": value, "b": 0}, headers={"x-api-key": ANY_KEY})

    assert 3 == pair.taken


def test_quick_path_predicts_with_stored_models(interface):
    store = MemoryStore({"n": double})
    deployment = Deployment("s", "store:n", schema=COLUMNS, offload=False)
    pair = make_pair(interface, [deployment], store=store)
    for _ in range(3):
        pair.post("/deployments/s/predict", json=ROW, headers={"x-api-key": ANY_KEY})
    pair.check_counts()

    # The first request loads the model.
    assert 2 == pair.taken


def test_quick_path_predicts_with_async_functions(interface):
    async def triple(table):
        await asyncio.sleep(0)
        return table["x0"] * 3

    pair = make_pair(interface, [Deployment("t", triple, schema=COLUMNS)])
    for _ in range(2):
        response = pair.post("/deployments/t/predict", json=ROW, headers={"x-api-key": ANY_KEY})
        assert 3.75 == response.json()["prediction"]

    assert 2 == pair.taken


@pytest.mark.parametrize("number", [13, 14, 15, 16])
def test_quick_path_charges_once_if_the_model_fails(interface, caplog, number):
    """Its error is answered, counted and logged as without the quick path, and it is called once."""
    pair = make_pair(interface)
    for ask in (native, mlclever):
        response = ask(pair, {**ROW, "x0": number})
        assert response.status >= 400
    assert 0 == pair.taken
    native(pair)
    pair.check_counts()


def test_quick_path_stops_at_exhausted_limits(interface):
    clock = FakeClock()
    limits = [RateLimit("3/minute; 5/day", clock=clock) for _ in range(2)]
    pair = Pair(lambda: make_gate(limits=limits.pop()), interface)
    statuses = []
    for _ in range(3):
        statuses += [native(pair).status for _ in range(4)]
        clock.advance(61)
    pair.check_counts()

    assert [200, 200, 200, 429, 200, 200, 429, 429, 429, 429, 429, 429] == statuses
    # The first request has a new key.
    assert 4 == pair.taken


def test_quick_path_applies_the_limits_of_a_key(interface, tmp_path):
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    store = SqlKeyStore(url)
    key = store.create(owner="caller", scopes="m", limits="3/hour").key
    pair = Pair(lambda: make_gate(keys=url), interface)
    statuses = [native(pair, authorization=f"Bearer {key}").status for _ in range(5)]

    assert [200, 200, 200, 429, 429] == statuses
    assert 2 == pair.taken


def test_quick_path_rejects_keys_that_become_inactive(interface, tmp_path):
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    keys = SqlKeyStore(url)
    issued = keys.create(owner="caller", scopes="m")
    pair = Pair(lambda: make_gate(keys=SqlKeyStore(url, cache_ttl=0)), interface)
    statuses = [native(pair, authorization=f"Bearer {issued.key}").status for _ in range(2)]
    keys.revoke(issued.record.id)
    statuses += [native(pair, authorization=f"Bearer {issued.key}").status for _ in range(2)]
    pair.check_counts()

    assert [200, 200, 403, 403] == statuses


def test_quick_path_leaves_addresses_with_many_failures_to_the_layers(interface):
    pair = make_pair(interface, auth_failure_limit="3/minute")
    wrong = {"authorization": "Bearer a-key-that-nobody-has"}
    before = [native(pair).status for _ in range(2)]
    failed = [native(pair, **wrong).status for _ in range(4)]
    after = [native(pair).status for _ in range(2)]

    assert ([200, 200], [401, 401, 429, 429], [429, 429]) == (before, failed, after)
    assert 2 == pair.taken


def test_quick_path_leaves_paused_and_drained_deployments_to_the_layers(interface):
    pair = make_pair(interface)
    statuses = [native(pair).status]
    for change in ("pause", "resume", "drain", "resume"):
        for gate in pair.gates:
            getattr(gate.deployments, change)("m")
        statuses.append(native(pair).status)
    pair.check_counts()

    assert [200, 403, 200, 503, 200] == statuses
    assert 3 == pair.taken


def test_quick_path_counts_requests_in_flight(interface, models):
    """Admission, draining and the metrics see a request while its model is called."""
    seen = []

    def look(table):
        [gate] = gates
        admission = next(layer for layer in gate.layers if hasattr(layer, "in_flight"))
        in_flight = read_counts(gate)["modelgate_requests_in_flight",]
        seen.append((admission.in_flight, len(gate._catalog["look"].in_flight), in_flight))
        return table["x0"]

    gates = []
    pair = make_pair(interface, [Deployment("look", look, schema=COLUMNS)])
    for gate, client in zip(pair.gates, pair._clients, strict=True):
        gates[:] = [gate]
        for _ in range(2):
            client.post("/deployments/look/predict", json=ROW, headers={"x-api-key": ANY_KEY})

    assert [(1, 1, 1)] * 4 == seen
    pair.check_counts()


def test_quick_path_leaves_requests_over_the_admitted_number_to_the_layers(interface):
    pair = make_pair(interface)
    for gate in pair.gates:
        admission = next(layer for layer in gate.layers if hasattr(layer, "in_flight"))
        admission._requests.update(range(1000))

    assert [503, 503] == [native(pair).status, mlclever(pair).status]
    assert 0 == pair.taken


async def send_asgi(gate, receive, path="/deployments/m/predict"):
    """Call the ASGI app of *gate* with *receive*, and return the status and the body of its response."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"authorization", b"Bearer " + ANY_KEY.encode())],
        "client": ("192.0.2.1", 1),
    }
    sent = []

    async def send(message):
        sent.append(message)

    await gate.asgi(scope, receive, send)
    return sent[0]["status"], msgspec.json.decode(sent[1]["body"])


def test_quick_path_leaves_bodies_that_have_not_arrived_to_the_layers():
    pair = make_pair("asgi")
    body = msgspec.json.encode(ROW)

    async def ask(gate, *parts):
        waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        waiting.append({"type": "http.request"})

        async def receive():
            await asyncio.sleep(0)
            return waiting.pop(0)

        status, answer = await send_asgi(gate, receive)
        return status, answer.get("prediction")

    for gate in pair.gates:
        assert (200, 2.5) == asyncio.run(ask(gate, body))
        assert (200, 2.5) == asyncio.run(ask(gate, body[:5], body[5:]))
        assert (400, None) == asyncio.run(ask(gate))
    pair.check_counts()


def test_quick_path_leaves_errors_of_the_server_to_the_layers(caplog):
    pair = make_pair("asgi")

    async def receive():
        raise OSError("the socket is broken")

    for gate in pair.gates:
        assert 500 == asyncio.run(send_asgi(gate, receive))[0]
    pair.check_counts()


def shorten_deadlines(pair):
    """Let requests end after a twentieth of a second, but only those that follow."""
    for gate in pair.gates:
        next(layer for layer in gate.layers if isinstance(layer, Deadline)).seconds = 0.05


def test_quick_path_leaves_the_deadline_of_a_body_to_the_layers():
    pair = make_pair("asgi")
    shorten_deadlines(pair)

    async def receive():
        await asyncio.sleep(60)

    for gate in pair.gates:
        assert 504 == asyncio.run(send_asgi(gate, receive))[0]
    pair.check_counts()


SLOW = Schema.of(seconds=float)


async def sleep(table):
    await asyncio.sleep(table["seconds"][0])
    return table["seconds"]


def test_quick_path_applies_the_deadline_to_the_model(interface):
    pair = make_pair(interface, [Deployment("slow", sleep, schema=SLOW)])
    shorten_deadlines(pair)
    response = pair.post("/deployments/slow/predict", json={"seconds": 60}, headers={"x-api-key": ANY_KEY})
    pair.check_counts()

    assert 504 == response.status
    assert "998" == response.header("x-ratelimit-remaining")


def test_quick_path_counts_cancelled_requests():
    pair = make_pair("asgi", [Deployment("slow", sleep, schema=SLOW)])

    async def receive():
        return {"type": "http.request", "body": b'{"seconds": 60}'}

    async def cancel(gate):
        task = asyncio.create_task(send_asgi(gate, receive, "/deployments/slow/predict"))
        while not gate._catalog["slow"].in_flight:
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for gate in pair.gates:
        asyncio.run(cancel(gate))
    pair.check_counts()


UNUSUAL = {
    "a layer of the deployment": [Deployment("u", double, schema=COLUMNS, layers=[lambda r, c: c(r)])],
    "a scoring layer": [Deployment("u", double, schema=COLUMNS, scoring_layers=[lambda q, c: c(q)])],
    "a shadow": [Deployment("u", double, schema=COLUMNS, shadow=Shadow("store:n@2"))],
    "a rollout": [Deployment("u", "store:n", schema=COLUMNS, rollout=Rollout({"store:n@2": 100}))],
    "humility": [Deployment("u", double, schema=COLUMNS, humility=[OutlyingInput("x0", 0, 1)])],
    "a schema with optional columns": [
        Deployment(
            "u", double, schema=Schema([Column("x0", "number"), Column("b", "number", required=False)])
        )
    ],
}


@pytest.mark.parametrize("deployments", UNUSUAL.values(), ids=UNUSUAL)
def test_quick_path_leaves_other_deployments_to_the_layers(interface, deployments):
    store = MemoryStore({"n": double, "n@2": double})
    pair = make_pair(interface, deployments, store=store)
    for _ in range(2):
        response = pair.post("/deployments/u/predict", json=ROW, headers={"x-api-key": ANY_KEY})
        assert 200 == response.status

    assert 0 == pair.taken


GATES = {
    "layers": {"layers": [], "keys": "open", "limits": None},
    "a layer in limits": {"limits": [RateLimit("9/minute", by="address"), lambda r, c: c(r)]},
    "two limits": {"limits": [RateLimit("9/minute"), RateLimit("99/day")]},
    "a limit with a function": {"limits": RateLimit("9/minute", exempt=lambda request: False)},
    "a dry run": {"limits": RateLimit("9/minute", dry_run=True)},
    "a cost of rows": {"limits": RateLimit("9/minute", cost="rows")},
    "open": {"keys": "open"},
    "a key header": {"key_header": "x-api-key"},
    "cors": {"cors": "*"},
    "https_only": {"https_only": True},
    "on_prediction": {"on_prediction": lambda record: None},
    "scoring layers": {"scoring_layers": [lambda query, call_next: call_next(query)]},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", GATES.values(), ids=GATES)
def test_gate_has_no_quick_path_unless_its_layers_are_the_standard_ones(options):
    gate = Gate([Deployment("m", double, schema=COLUMNS)], **{"keys": {KEY: "m"}, **options})
    client = Client(gate.wsgi)
    quick = gate._quick_path
    taken = []
    if quick is not None:
        layers = quick.layers
        quick.layers = lambda request: taken.append(request) or layers(request)
    for _ in range(2):
        client.post("/deployments/m/predict", json=ROW, headers=BEARER)

    assert quick is None or 2 == len(taken)


HEADERS = {
    "prefer": ["wait=5", "server-timing", "wait=0"],
    "content-encoding": ["identity", "gzip", "nonsense"],
    "content-type": ["application/json", "text/plain", "text/csv", "application/json; charset=utf-8", ""],
    "content-length": ["5", "-1", "+9", "x", "", "99999999999", "1_0"],
    "accept": ["text/csv", "application/x-npy", "*/*"],
    "x-request-id": ["mine", "x" * 40, "", "a b", "0123456789abcdef0123456789abcdef"],
    "authorization": [f"bearer  {KEY} ", f"Basic {KEY}", KEY, "", f"Bearer {OTHER_KEY}", "Bearer eyJa.b.c"],
    "x-api-key": [KEY, OTHER_KEY, ANY_KEY, "wrong", "", "cl\xe9"],
    "x-forwarded-for": ["192.0.2.1", "nonsense"],
    "forwarded": ["for=192.0.2.1"],
    "expect": ["100-continue"],
    "origin": ["https://app.example"],
    "transfer-encoding": ["chunked"],
    "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
}

bodies = st.one_of(
    valid_rows(COLUMNS).map(msgspec.json.encode),
    nearly_valid_rows(COLUMNS).map(json.dumps).map(str.encode),
    st.sampled_from(
        [
            b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"\xff", b' {"x0": 1, "city": "a", "count": 2} ',
            b'{"x0": 1, "city": "a:b", "count": 2}', b'{"x0": 1, "x0": 2, "city": "a", "count": 2}',
            b'{"x0": 1, "city": "a", "count": 2, "more": {"a": [1]}}', b'{"x0": 1e999, "city": "", "count": 2}',
            b'{"x0": 1, "city": "\\ud800", "count": 2}', b'{"x0": null, "city": "a", "count": 2}',
            b'{"data": {"x0": 1, "city": "a", "count": 2}}', b'{"\\u0064ata": {"x0": 1, "city": "a", "count": 2}}',
            b'{"rows": [{"x0": 1, "city": "a", "count": 2}]}', b'[{"x0": 1, "city": "a", "count": 2}]',
            b'{"x0": [1, 2], "city": ["a", "b"], "count": [1, 2]}', b'{"x0": 13, "city": "a", "count": 2}',
            b'{"x0": 1, "city": "%s", "count": 2}' % (b"a" * 70_000),
        ]
    ),
)  # fmt: skip


@st.composite
def requests(draw):
    """Requests around the edge of what is usual: most differ from a usual request in one or two ways."""
    body, headers = draw(bodies), {"content-type": "application/json"}
    path = draw(st.sampled_from(["/deployments/m/predict", "/api/predict", "/simple/m"] * 3 + [
        "/deployments/gone/predict", "/deployments/m/predict/", "/deployments/m/predict?passthrough=city",
        "/deployments/m/predict?unknown=1", f"/api/predict/{KEY}", "/api/predict/", "/score", "/nowhere",
    ]))  # fmt: skip
    if path.startswith("/api"):
        place = draw(st.sampled_from(["body", "header", "both", "other", "none", "null", "number", "colon"]))
        key = {
            "body": KEY, "both": KEY, "other": ANY_KEY, "null": None, "number": 12, "colon": "a:key-with-a-colon"
        }.get(place)  # fmt: skip
        members = {} if place in ("header", "none") else {"api_key": key}
        members |= draw(
            st.sampled_from([{}] * 4 + [{"deployment": "m"}, {"deployment": "gone"}, {"more": [{}]}])
        )
        envelope = json.dumps(members).encode()[1:-1]
        body = b'{%s"input_data": %s}' % (envelope + b", " if envelope else b"", body)
        if place in ("header", "both"):
            headers |= BEARER
    else:
        headers |= draw(
            st.sampled_from([BEARER] * 4 + [{}, {"x-api-key": OTHER_KEY}, {"x-api-key": ANY_KEY}])
        )
    for name in draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=2)):
        headers[name] = draw(st.sampled_from(HEADERS[name]))
    method = draw(st.sampled_from(["POST"] * 9 + ["GET", "HEAD", "PUT", "post"]))
    chunks = draw(st.sampled_from([1] * 5 + [2, 3]))
    if chunks > 1:
        headers.pop("content-length", None)
        step = max(1, -(-len(body) // chunks))
        body = [body[start : start + step] for start in range(0, len(body), step)] or [b""]
    return method, path, {"body": body, "headers": headers}


@pytest.fixture(scope="module")
def module_pairs(models):
    """A pair for each interface, whose limits are soon exhausted and then free again."""
    pairs = {}
    for interface in ("wsgi", "asgi"):
        clock = FakeClock()
        pairs[interface] = make_pair(interface, clock=clock, auth_failure_limit="100000/day"), clock
    return pairs


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wsgi", *slow("asgi")])
@examples(5)
@hypothesis.given(request=requests(), advance=st.sampled_from([0, 0, 0, 1, 61, -5]))
def test_quick_path_changes_nothing_around_its_edge(module_pairs, kind, request, advance):
    pair, clock = module_pairs[kind]
    method, path, options = request
    pair.request(method, path, **options)
    clock.advance(advance)


def test_quick_path_has_kept_all_counts_equal(module_pairs, interface):
    """Runs after the test above."""
    pair, _ = module_pairs[interface]
    mlclever(pair)
    pair.check_counts()

    assert pair.taken


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["native", *slow("mlclever", "simple", "tf_serving")])
def test_quick_path_changes_nothing_for_hostile_bodies(interface, dialect):
    """Every seventh of the bodies that are sent to each wire format."""

    def make_gate():
        limits = RateLimit("1000000/minute", clock=FakeClock())
        deployment = Deployment("m", lambda table: table["x0"], schema=SCHEMA, decimals=None)
        exact = Deployment("e", lambda table: table["x0"], schema=Schema.of(x0=float), decimals=None)
        keys = {KEY: "m", OTHER_KEY: "e"}
        return Gate([deployment, exact], keys=keys, auth_failure_limit=None, limits=limits)

    pair = Pair(make_gate, interface)
    path, _ = request_of(dialect, [7.0])
    for number, body in enumerate(hostile_bodies(dialect)):
        if number % 7 or len(body.content) > 1_000_000:
            continue
        for key, name in ((KEY, "m"), (OTHER_KEY, "e")):
            headers = {**body.fields, "authorization": f"Bearer {key}"}
            pair.post(path.replace("/m", f"/{name}"), body=body.content, headers=headers)
    pair.check_counts()

    assert pair.taken or dialect not in ("native", "mlclever", "simple")
