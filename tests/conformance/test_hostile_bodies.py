"""Hostile bodies in every wire format and through both interfaces, with the key in every place.

Each is answered in the shape that the OpenAPI document describes, never with a status of 5xx, and a good request
right after it as always. A test run sends a sample. ``make hostile`` sends all bodies with all keys.
"""

import asyncio
import base64
import json
import os
from itertools import cycle

import pytest

from modelgate import Deployment, Explanations, Gate
from modelgate.testing import Client
from support.hostile_bodies import SCHEMA, hostile_bodies
from support.keys import KEY
from support.marks import slow
from support.openapi import OpenAPIDocument
from support.wire_formats import NUMBERS_IN, REQUESTS, request_of

SAMPLED = 1 if os.environ.get("MODELGATE_HOSTILE") == "all" else 199
"""One in so many requests is sent. A prime number, so that each key meets each kind of body."""

TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


def encode_basic(key):
    return "Basic " + base64.b64encode(f"user:{key}".encode()).decode()


KEYS = {
    "bearer": {"authorization": f"Bearer {KEY}"},
    "x-api-key": {"x-api-key": KEY},
    "both": {"authorization": f"Bearer {KEY}", "x-api-key": KEY},
    "with a platform's token": {"authorization": f"Bearer {TOKEN}", "x-api-key": KEY},
    "basic": {"authorization": encode_basic(KEY)},
    "token": {"authorization": f"Token {KEY}"},
    "in the body": {},
    "in the path": {},
    "none": {},
    "wrong": {"authorization": "Bearer a-key-that-nobody-has"},
    "two": {"authorization": "Bearer a-key-that-nobody-has", "x-api-key": KEY},
    "not ASCII": {"authorization": "Bearer cl\xe9 of sixteen or more", "x-api-key": "\xff" * 300},
}
PATHS = {
    **{dialect: path for dialect, (path, _) in REQUESTS.items()},
    "native, echoed": "/deployments/m/predict?passthrough=note&passthrough=city",
    "datarobot, echoed": "/deployments/m/predictions?passthroughColumnsSet=all",
    "datarobot, by name": "/predApi/v1.0/deployments/m/predictions",
    "mlflow, containers": "/invocations",
    "native, explained": "/deployments/m/predict?explain=2",
    "datarobot, explained": "/deployments/m/predictionExplanations",
    "native, curves": "/deployments/m/curves",
}
FORMS = list(PATHS)
OPERATIONS = {"datarobot, explained": "datarobot_2", "native, curves": "native_curves"}
BAD_STATUSES = {400, 401, 403, 413, 415, 422}


def list_requests(form):
    """Yield the path, the body, the header fields and the name of the key of each request of *form*."""
    dialect, number = form.partition(",")[0], hash_of(form)
    for body in hostile_bodies(dialect):
        for style, fields in KEYS.items():
            if style in ("in the body", "in the path") and dialect != "mlclever":
                continue
            number += 1
            if number % SAMPLED:
                continue
            path, content = PATHS[form], body.content
            if form == "native, curves" and number % 2:
                content = b'{"column": "x0", "grid": [1, null], "row": ' + content.strip(b"[]") + b"}"
            if style == "in the body" and content[:1] == b"{":
                content = f'{{"api_key": "{KEY}",'.encode() + content[1:]
            yield path + f"/{KEY}" * (style == "in the path"), content, {**body.fields, **fields}, style


def hash_of(text):
    """Return a number that differs between forms and not between runs."""
    return sum(text.encode())


def shape_of(value):
    """Return a summary of a JSON value. Values of the same shape fit the same schemas."""
    if isinstance(value, dict):
        return tuple(sorted((name, shape_of(item)) for name, item in value.items()))
    if isinstance(value, list):
        return frozenset(map(shape_of, value)), not value
    return type(value).__name__


def reject_constant(name):
    raise ValueError(f"{name} is no JSON")


class Checker:
    """Checks the responses of one form of request.

    Args:
        form: Name of the form, of `PATHS`.
        document: OpenAPI document.
    """

    def __init__(self, form, document):
        dialect = form.partition(",")[0]
        self._numbers = NUMBERS_IN[dialect]
        self._document = OpenAPIDocument(document)
        self._operation = self._document.find_operation(OPERATIONS.get(form, dialect))
        self._checked = set()

    def check(self, answer):
        """Check the status and the shape of the response to a hostile body."""
        assert answer.status in {200, *BAD_STATUSES}
        assert answer.header("content-length") == str(len(answer.body))
        assert KEY.encode() not in answer.body
        value = json.loads(answer.body, parse_constant=reject_constant)
        shape = answer.status, shape_of(value)
        # Checking a schema takes longer than a request.
        if shape not in self._checked:
            self._document.check_response(self._operation, answer)
            self._checked.add(shape)

    def check_good(self, answer):
        """Check the response to a good request."""
        assert (200, [7.0]) == (answer.status, self._numbers(answer.json()))


def make_gate(**options):
    explanations = Explanations(background=[{"x0": 1}, {"x0": 2, "city": "Bern"}], permutations=1)
    deployment = Deployment(
        "m", lambda table: table["x0"], schema=SCHEMA, decimals=None, explanations=explanations
    )
    return Gate([deployment], keys={KEY: "m"}, auth_failure_limit=None, limits="1000000000/day", **options)


@pytest.fixture(scope="module")
def gate():
    return make_gate()


@pytest.fixture(scope="module")
def document(gate):
    return gate.openapi("m")


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", *slow("asgi")])
@pytest.mark.parametrize("form", PATHS)
def test_hostile_bodies(gate, document, caplog, interface, form):
    dialect = form.partition(",")[0]
    client, checker = Client(getattr(gate, interface)), Checker(form, document)
    good_path, good_body = request_of(dialect, [7.0])
    good_fields = {"content-type": "application/json", **KEYS["bearer"]}

    async def send(path, body, fields):
        call = client.post if interface == "wsgi" else client.apost
        answer = call(path, body=body, headers=fields)
        return answer if interface == "wsgi" else await answer

    async def find_failures():
        for path, body, fields, style in list_requests(form):
            answer = await send(path, body, fields)
            try:
                checker.check(answer)
            except Exception as error:
                yield style, path, fields, body[:300], answer.status, answer.body[:500], repr(error)[:300]
            checker.check_good(await send(good_path, good_body, good_fields))

    async def list_failures():
        return [failure async for failure in find_failures()]

    assert [] == asyncio.run(list_failures())[:20]
    assert [] == [record for record in caplog.records if record.name.startswith("modelgate")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "interface"), [("native", "wsgi"), *slow(*zip(FORMS[1:], cycle(["asgi", "wsgi"])))]
)
def test_hostile_bodies_with_a_key_header(caplog, form, interface):
    """With ``key_header``, a key in any other place counts as missing, and one in this field as the key."""
    client = Client(getattr(make_gate(key_header="x-api-key"), interface))
    for path, body, fields, style in list_requests(form):
        answer = client.post(path, body=body, headers=fields)
        has_key = fields.get("x-api-key") == KEY

        assert answer.status in ({200} | BAD_STATUSES - {401} if has_key else {401}), (style, path, body[:99])
        assert KEY.encode() not in answer.body
    assert [] == [record for record in caplog.records if record.name.startswith("modelgate")]
