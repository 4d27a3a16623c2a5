"""Keys of every state through every mount: the response of each, and that the key is in no log or response."""

import logging
import re
from datetime import UTC, datetime, timedelta

import pytest

from modelgate import keys
from modelgate.errors import AnswerableError
from modelgate.testing import FakeClock
from support.mounts import Mounted, make_gate

WHERE = {
    "bearer": lambda key: {"headers": {"authorization": f"Bearer {key}"}},
    "another scheme": lambda key: {"headers": {"authorization": f"Basic {key}"}},
    "x-api-key": lambda key: {"headers": {"x-api-key": key}},
    "request id": lambda key: {"headers": {"x-request-id": key, "x-api-key": key}},
    "user agent": lambda key: {"headers": {"user-agent": key, "content-type": key, "x-api-key": key}},
    "body": lambda key: {"body": {"api_key": key}},
    "body, of another type": lambda key: {"body": {"api_key": [key]}},
    "body, as the deployment": lambda key: {"body": {"api_key": key, "deployment": key}},
    "body, as a member": lambda key: {"body": {"api_key": key, key: key}},
    "query": lambda key: {"query": f"?api_key={key}"},
    "path": lambda key: {"path": f"/api/predict/{key}"},
    "path, with a slash": lambda key: {"path": f"/api/predict/{key}/"},
    "path, and more": lambda key: {"path": f"/api/predict/{key}/more"},
    "path, another method": lambda key: {"path": f"/api/predict/{key}", "method": "PUT"},
    "path nobody serves": lambda key: {"path": f"/{key}"},
    "method": lambda key: {"method": key},
    "two keys": lambda key: {"headers": {"x-api-key": key}, "body": {"api_key": keys.generate()}},
}

CASES = ["right", "wrong", "misspelled", "expired", "revoked", "of another scope", "for a broken model"]


@pytest.fixture
def key_store(tmp_path):
    """Return a store, and a key in each state."""
    store = keys.SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", clock=FakeClock())
    past = datetime.fromtimestamp(FakeClock()(), UTC) - timedelta(days=1)
    revoked = store.create(owner="us", scopes="wine")
    store.revoke(revoked.record.id)
    made = {
        "right": store.create(owner="us", scopes="wine").key,
        "wrong": keys.generate(),
        "misspelled": keys.generate()[:-1] + "-",
        "expired": store.create(owner="us", scopes="wine", expires=past).key,
        "revoked": revoked.key,
        "of another scope": store.create(owner="us", scopes="wine:read").key,
        "for a broken model": store.create(owner="us", scopes="broken").key,
    }
    yield store, made
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "status", "challenge"),
    [
        ("right", 200, None),
        ("wrong", 401, 'Bearer realm="modelgate", error="invalid_token"'),
        ("misspelled", 401, 'Bearer realm="modelgate", error="invalid_token"'),
        ("expired", 403, 'Bearer error="invalid_token"'),
        ("revoked", 403, 'Bearer error="invalid_token"'),
        ("of another scope", 403, 'Bearer error="insufficient_scope"'),
    ],
)
@pytest.mark.parametrize("named", [{}, {"deployment": "wine"}], ids=["by key", "by name"])
def test_key_states_have_status_and_challenge(
    mount, wine, wine_row, key_store, caplog, case, status, challenge, named
):
    """RFC 6750. The log has the id of the key."""
    store, made = key_store
    with caplog.at_level(logging.INFO, "modelgate"):
        answer = Mounted(mount, make_gate(wine, keys=store)).predict(wine_row, made[case], **named)
    refused = [record.getMessage() for record in caplog.records if record.name == "modelgate"]

    assert (status, challenge) == (answer.status, answer.header("www-authenticate"))
    assert (case in ("expired", "revoked")) == any(line.endswith(f": {case}") for line in refused)
    (logged,) = [record.key_id for record in caplog.records if record.name == "modelgate.access"]
    known = {record.id for record in store.list()}
    assert (case not in ("wrong", "misspelled")) == (logged in known)


@pytest.mark.slow
@pytest.mark.parametrize("where", WHERE)
def test_keys_are_never_shown(mount, wine, wine_row, key_store, caplog, monkeypatch, where):
    """Valid or not, wherever they were sent."""
    caplog.set_level(logging.DEBUG)
    store, made = key_store
    seen = []

    def watching(request, call_next):
        seen.append(request)
        return call_next(request)

    monkeypatch.setattr(AnswerableError, "__init__", _noting(seen, AnswerableError.__init__))
    gate = make_gate(wine, keys=store)
    gate._handler = _around(watching, gate._handler)
    mounted = Mounted(mount, gate)
    for case in CASES:
        key = made[case]
        sent = {
            "method": "POST",
            "path": "/api/predict",
            "headers": {},
            "body": {},
            "query": "",
            **WHERE[where](key),
        }
        row = wine_row if case != "for a broken model" else {"x0": 1}
        answer = mounted.request(
            sent["method"],
            sent["path"] + sent["query"],
            json={"input_data": row, **sent["body"]},
            headers=sent["headers"],
        )
        shown = [answer, store, gate, gate.deployments.cache]
        for item in seen:
            shown += [item, getattr(item, "principal", None), getattr(item, "details", None)]
        log = [f"{record.getMessage()} {vars(record)} {record.exc_text}" for record in caplog.records]

        assert answer.status < 600
        # The part that is random: no piece of it that would be of use either.
        assert key[12:30] not in repr(shown) + caplog.text + repr(log)
    assert any(record.name == "modelgate.access" for record in caplog.records)


def list_routes(gate):
    """Yield the method and path pattern of each route, of the dialects and of the gate."""
    for path, methods in gate._router._fixed.items():
        yield from ((method, path) for method in methods)
    for patterns in gate._router._variable.values():
        for path, (_, methods) in patterns.items():
            yield from ((method, path) for method in methods)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["right", "wrong"])
def test_keys_are_not_logged_by_any_route(mount, wine, key_store, caplog, case):
    """Sent as any variable of the path, in the query, a header or the body."""
    caplog.set_level(logging.DEBUG)
    key = key_store[1][case]
    mounted = Mounted(mount, make_gate(wine, keys=key_store[0], auth_failure_limit=None))
    routes = list(list_routes(mounted.gate))
    for method, path in routes:
        for variable in ["", *re.findall(r"{\w+}", path)]:
            filled = re.sub(r"{\w+}", "wine", path.replace(variable, key) if variable else path)
            for sent in (
                {},
                {"headers": {"x-api-key": key}},
                {"headers": {"authorization": f"Bearer {key}"}},
                {"json": {"api_key": key, "deployment": key, key: key}},
            ):
                mounted.request(method, f"{filled}?api_key={key}", **sent)
    logged = [f"{record.getMessage()} {vars(record)} {record.exc_text}" for record in caplog.records]

    assert 30 < len(routes) < len(logged)
    assert [] == [line for line in logged if key[12:30] in line]


def _around(layer, handler):
    return lambda request: layer(request, handler)


def _noting(seen, init):
    def noted(self, *args, **options):
        init(self, *args, **options)
        seen.append(self)

    return noted
