"""Keys of every state through every mount: what the caller is told, and that nobody is told the key."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from conformance.conftest import Mounted, make_gate
from modelgate import keys
from modelgate.errors import AnswerableError
from modelgate.testing import Clock

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
def kept(tmp_path):
    """A store, and a key for each case."""
    store = keys.SqlKeyStore(f"sqlite:///{tmp_path}/keys.db", clock=Clock())
    past = datetime.fromtimestamp(Clock()(), UTC) - timedelta(days=1)
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
def test_what_the_caller_is_told(mount, wine, wine_row, kept, caplog, case, status, challenge, named):
    """A status of its own for each key, and the challenge of RFC 6750; the log names the key."""
    store, made = kept
    with caplog.at_level(logging.INFO, "modelgate"):
        answer = Mounted(mount, make_gate(wine, keys=store)).predict(wine_row, made[case], **named)
    refused = [record.getMessage() for record in caplog.records if record.name == "modelgate"]

    assert (status, challenge) == (answer.status, answer.header("www-authenticate"))
    assert (case in ("expired", "revoked")) == any(f"is {case}" in line for line in refused)
    (logged,) = [record.key_id for record in caplog.records if record.name == "modelgate.access"]
    known = {each.id for each in store.list()}
    assert (case not in ("wrong", "misspelled")) == (logged in known)


@pytest.mark.parametrize("where", WHERE)
def test_no_key_leaks(mount, wine, wine_row, kept, caplog, monkeypatch, where):
    """Sent anywhere, good or bad, it appears nowhere."""
    caplog.set_level(logging.DEBUG)
    store, made = kept
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
        told = [answer, store, gate, gate.cache]
        for each in seen:
            told += [each, getattr(each, "principal", None), getattr(each, "details", None)]
        log = [f"{record.getMessage()} {vars(record)} {record.exc_text}" for record in caplog.records]

        assert answer.status < 600
        # The part that is random: no piece of it that would be of use either.
        assert key[12:30] not in repr(told) + caplog.text + repr(log)
    assert any(record.name == "modelgate.access" for record in caplog.records)


def _around(layer, handler):
    return lambda request: layer(request, handler)


def _noting(seen, init):
    def noted(self, *args, **options):
        init(self, *args, **options)
        seen.append(self)

    return noted
