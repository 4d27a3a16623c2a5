"""A token of a platform or a proxy beside the API key, in every dialect and through every mount."""

import base64
import functools

import pytest

from modelgate import ConfigurationError, Gate, KeyAuth, keys
from modelgate.dialects import DIALECTS, render_request
from modelgate.dialects.key_header import with_key_header
from modelgate.schema import Schema
from support.keys import KEY
from support.mounts import Mounted, make_gate

OURS, OTHER = keys.generate(), keys.generate("acme")
JWT = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lhcC5leGFtcGxlIn0.c2lnbmF0dXJl"
OPAQUE = "Bearer ya29.an-opaque-token-of-a-platform"
BASIC = f"Basic {base64.b64encode(b'proxy:the-password-of-a-proxy').decode()}"
SCHEMA = Schema.of(amount=float)


@pytest.fixture(params=DIALECTS)
def dialect(request):
    return request.param


def send(mounted, dialect, **headers):
    """Send a row to the deployment *double*, with these headers and no key elsewhere."""
    template = with_key_header(DIALECTS[dialect](), "x-api-key").request_template
    path, sent, body = render_request(template, "double", "", SCHEMA, [{"amount": 2.0}])
    del sent["x-api-key"]
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return mounted.post(path.replace("{version}", "1"), body=body, headers={**sent, **fields})


@pytest.fixture(scope="module")
def store_gate(mount, wine):
    return Mounted(mount, make_gate(wine, keys={OURS: "double", OTHER: "double"}, limits=None))


@pytest.fixture(scope="module")
def store_mount(mount, wine):
    @functools.cache
    def mount_gate(key_header):
        return Mounted(mount, make_gate(wine, keys={OURS: "double"}, key_header=key_header, limits=None))

    return mount_gate


def test_json_web_token_alone_is_recognized(store_gate):
    answer = send(store_gate, "native", authorization=JWT)

    assert (
        b"If your platform needs the token, also send the API key, in the header field x-api-key"
        in answer.body
    )
    assert JWT.encode()[7:] not in answer.body


@pytest.mark.parametrize("key_header", ["authorization", "x-api-key"])
def test_json_web_token_in_the_key_header_is_an_invalid_key(mount, wine, key_header):
    """The caller is not sent to a field that is not read."""
    mounted = Mounted(mount, make_gate(wine, keys={OURS: "double"}, key_header=key_header))
    token = JWT if key_header == "authorization" else JWT.removeprefix("Bearer ")

    answer = mounted.post("/deployments/double/predict", json={"amount": 2}, headers={key_header: token})
    assert (401, "Invalid API key") == (answer.status, answer.json()["detail"])


@pytest.mark.parametrize(
    ("key_header", "headers", "query", "reason"),
    [
        ("x-api-key", {"api-key": OURS}, "", "it is not read from the field api-key: "),
        ("x-api-key", {"authorization": JWT}, f"?api_key={OURS}", "it is not read from the query string, "),
        ("x-api-key", {"authorization": f"Bearer {OURS}", "x-api-key": ""}, "", ""),
        ("authorization", {"x-api-key": OURS}, "", "it is not read from the field x-api-key: "),
        (None, {"x-api-key": ""}, "", ""),
    ],
    ids=["other field", "query string", "empty", "x-api-key", "empty by default"],
)
def test_missing_key_is_explained_for_the_key_header(store_mount, key_header, headers, query, reason):
    answer = store_mount(key_header).post(
        f"/deployments/double/predict{query}", json={"amount": 2}, headers=headers
    )

    assert 401 == answer.status
    assert answer.json()["detail"].startswith(f"Missing API key: {reason}")
    assert reason or answer.json()["detail"].startswith("Missing API key: send the key in the header field ")


@pytest.mark.parametrize("token", [JWT, OPAQUE, BASIC], ids=["JWT", "opaque", "Basic"])
def test_platform_token_does_not_contradict_a_generated_key(store_gate, dialect, token):
    assert 200 == send(store_gate, dialect, x_api_key=OURS, authorization=token).status
    assert 401 == send(store_gate, dialect, x_api_key=keys.generate(), authorization=token).status
    assert 401 == send(store_gate, dialect, authorization=token).status


def test_platform_key_does_not_contradict_a_generated_key(store_gate, dialect):
    headers = {"x_api_key": "a-key-of-the-platform", "authorization": f"Bearer {OURS}"}

    assert 200 == send(store_gate, dialect, **headers).status


def test_two_generated_keys_are_a_conflict(store_gate, dialect):
    """Although both are valid."""
    answer = send(store_gate, dialect, x_api_key=OURS, authorization=f"Bearer {OTHER}")

    assert 400 == answer.status
    assert b"Two different API keys were sent" in answer.body


@pytest.mark.slow
def test_key_of_any_form_is_told_from_a_json_web_token_alone(mount, wine, dialect):
    mounted = Mounted(mount, make_gate(wine, keys={KEY: "double"}))

    assert 200 == send(mounted, dialect, x_api_key=KEY, authorization=JWT).status
    assert 401 == send(mounted, dialect, x_api_key="a-key-that-is-unknown", authorization=JWT).status
    assert 400 == send(mounted, dialect, x_api_key=KEY, authorization=OPAQUE).status


@pytest.mark.slow
@pytest.mark.parametrize(
    "token", [JWT, OPAQUE, BASIC, f"Bearer {OURS}"], ids=["JWT", "opaque", "Basic", "ours"]
)
def test_key_header_is_the_only_place_of_the_key(mount, wine, dialect, token):
    mounted = Mounted(mount, make_gate(wine, keys={KEY: "double", OURS: "double"}, key_header="x-api-key"))

    assert 200 == send(mounted, dialect, x_api_key=KEY, authorization=token).status
    assert 401 == send(mounted, dialect, x_api_key="a-key-that-is-unknown", authorization=token).status
    answer = send(mounted, dialect, authorization=token)
    assert 401 == answer.status
    assert dialect == "datarobot" or b"send the key in the header field x-api-key" in answer.body


def test_key_header_may_be_authorization(mount, wine, dialect):
    mounted = Mounted(mount, make_gate(wine, keys={KEY: "double"}, key_header="authorization"))
    headers = {"x_api_key": "a-key-of-the-platform", "authorization": f"Bearer {KEY}"}

    assert 200 == send(mounted, dialect, **headers).status
    assert 401 == send(mounted, dialect, x_api_key=KEY).status


@pytest.mark.parametrize("authorization", [JWT, OPAQUE, None], ids=["JWT", "opaque", "none"])
@pytest.mark.parametrize("key_header", [None, "x-api-key"], ids=["default", "x-api-key"])
def test_key_in_the_body_or_the_path_of_mlclever(mount, wine, authorization, key_header):
    """With a key header, whatever clients send there is ignored."""
    mounted = Mounted(mount, make_gate(wine, keys={OURS: "double"}, key_header=key_header))
    rows = {"input_data": {"amount": 2}}
    headers = {} if authorization is None else {"authorization": authorization}
    expected = 401 if key_header is not None or authorization == OPAQUE else 200

    assert expected == mounted.post("/api/predict", json={"api_key": OURS, **rows}, headers=headers).status
    headers["x-api-key"] = OURS
    assert 200 == mounted.post("/api/predict", json={"api_key": "something", **rows}, headers=headers).status
    answer = mounted.post("/api/predict", json={"api_key": OTHER, **rows}, headers=headers)
    assert (400 if key_header is None else 200) == answer.status


def test_json_web_token_can_be_a_key_of_a_mapping(mount, wine):
    token = JWT.removeprefix("Bearer ")
    mounted = Mounted(mount, make_gate(wine, keys={token: "double"}))
    rows = {"input_data": {"amount": 2}}

    assert 200 == mounted.post("/api/predict", json=rows, headers={"authorization": JWT}).status
    assert 200 == mounted.post("/api/predict", json={"api_key": token, **rows}).status


def test_key_header_is_in_templates_documents_and_pages(mount, wine):
    """Nothing tells callers to send the key in another place."""
    mounted = Mounted(mount, make_gate(wine, keys={KEY: "*"}, key_header="x-api-key"))
    headers = {"x-api-key": KEY}
    requests = mounted.request("GET", "/deployments/double", headers=headers).json()["requests"]
    document = mounted.request("GET", "/deployments/double/openapi.json", headers=headers).json()
    pages = [
        mounted.request("GET", "/", headers={"accept": "text/html"}).body,
        mounted.request("GET", "/deployments/double/console").body,
    ]

    assert all("{key}" == request["headers"]["x-api-key"] for request in requests)
    assert all("{key}" not in str({**request, "headers": None}) for request in requests)
    assert {"x-api-key"} == document["components"]["securitySchemes"].keys()
    assert b"X-API-Key" in pages[0]
    assert b"Authorization: Bearer" not in pages[0]
    assert b'data-key-header="x-api-key"' in pages[1]


def test_key_header_of_a_layer_applies_to_the_gate(mount, wine):
    layers = [KeyAuth({KEY: "double"}, key_header="x-api-key")]
    mounted = Mounted(mount, make_gate(wine, keys=None, layers=layers))
    (template,) = {
        str(request["headers"])
        for request in mounted.request("GET", "/deployments/double", headers={"x-api-key": KEY}).json()[
            "requests"
        ]
    }

    assert str({"x-api-key": "{key}"}) == template


@pytest.mark.parametrize(
    "options", [{"keys": {KEY: "double"}}, {"layers": [KeyAuth({KEY: "double"})]}], ids=list
)
def test_key_header_is_checked(options):
    with pytest.raises(
        ConfigurationError, match=r'key_header(,.*)? must (be "authorization"|not be combined)'
    ):
        Gate(key_header="api-key", **options)
