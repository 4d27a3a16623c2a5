"""The index of a gate, through every mount."""

import pytest

from support.keys import KEY, OTHER_KEY
from support.mounts import Mounted, make_gate

NAMES = {KEY: ["wine"], OTHER_KEY: ["broken", "double", "panic", "paused", "triple"]}
"""Deployments by the key that permits them."""
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def open_gate(mount, wine):
    return Mounted(mount, make_gate(wine, keys="open"))


def test_index_is_json_unless_html_is_preferred(mounted):
    response = mounted.request("GET", "/")

    assert (200, "application/json") == (response.status, response.header("content-type"))
    assert {"status", "deployments", "openapi", "live", "ready", "startup"} == set(response.json())
    for path in (response.json()[probe] for probe in ("live", "ready", "startup")):
        assert mounted.request("GET", f"/{path}").status in (200, 503)


def test_index_page_lists_no_deployments_without_a_key(mounted):
    response = mounted.request("GET", "/", headers=HTML)

    assert (200, "text/html; charset=utf-8") == (response.status, response.header("content-type"))
    assert b"Send your key" in response.body
    assert b"wine" not in response.body


def test_index_page_of_an_open_gate_links_to_consoles(open_gate):
    page = open_gate.request("GET", "/", headers=HTML).body.decode()

    assert '<a href="deployments/wine/console">' in page
    assert 200 == open_gate.request("GET", "/deployments/wine/console").status


def test_index_redirects_to_its_slash(mounted):
    """Relative links on the page need it."""
    response = mounted.request("GET", "", headers=HTML)

    # Starlette redirects to an absolute URL itself.
    assert 307 == response.status
    assert response.header("location").endswith(f"{mounted.prefix}/")


def test_deployments_are_those_of_the_key(mounted):
    response = mounted.request("GET", "/deployments", headers={"x-api-key": KEY})

    assert [
        {
            "name": "wine",
            "description": "deployments/wine",
            "openapi": "deployments/wine/openapi.json",
            "console": "deployments/wine/console",
        }
    ] == response.json()["deployments"]
    others = mounted.request("GET", "/deployments", headers={"x-api-key": OTHER_KEY}).json()["deployments"]
    assert NAMES[OTHER_KEY] == [item["name"] for item in others]
    assert 401 == mounted.request("GET", "/deployments").status


def test_openapi_of_a_gate_covers_the_deployments_of_the_key(mounted):
    document = mounted.request("GET", "/openapi.json", headers={"x-api-key": OTHER_KEY}).json()

    assert {"/deployments/double/predict", "/deployments/triple/predict"} <= set(document["paths"])
    assert "/deployments/paused/predict" not in document["paths"]
    assert not any("wine" in path for path in document["paths"])
    assert 401 == mounted.request("GET", "/openapi.json").status


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_kserve_lists_the_models_of_the_key(mounted, key):
    response = mounted.request("GET", "/v1/models", headers={"x-api-key": key})

    assert {"models": NAMES[key]} == response.json()


def test_repository_index_lists_the_models_of_the_key(mounted):
    """Triton's document. The state of a model is that of its `ready` endpoint."""
    mine = mounted.post("/v2/repository/index", body=b"", headers={"x-api-key": KEY})
    others = mounted.post("/v2/repository/index", json={}, headers={"x-api-key": OTHER_KEY})

    assert [{"name": "wine", "version": "1", "state": "READY", "reason": ""}] == mine.json()
    assert NAMES[OTHER_KEY] == [model["name"] for model in others.json()]
    for model in others.json():
        ready = mounted.request("GET", f"/v2/models/{model['name']}/ready", headers={"x-api-key": OTHER_KEY})
        assert (ready.status == 200) == (model["state"] == "READY")
        assert (model["state"] == "READY") == ("version" in model) == (model["reason"] == "")


@pytest.mark.parametrize(
    ("body", "count"), [({"ready": True}, 4), ({"ready": False}, 5), ({"ready": None}, 5)]
)
def test_repository_index_can_be_limited_to_ready_models(mounted, body, count):
    response = mounted.post("/v2/repository/index", json=body, headers={"x-api-key": OTHER_KEY})

    assert count == len(response.json())


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": 1}', b'"x"'])
def test_repository_index_rejects_other_bodies(mounted, body):
    response = mounted.post("/v2/repository/index", body=body, headers={"x-api-key": KEY})

    assert 400 == response.status
    assert (
        response.json()["error"].startswith("The JSON body") or "not valid JSON" in response.json()["error"]
    )


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models"), ("POST", "/v2/repository/index")])
def test_models_are_listed_to_keys_only(mounted, method, path):
    response = mounted.request(method, path)

    assert 401 == response.status
    assert b"wine" not in response.body
