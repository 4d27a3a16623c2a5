"""The index of a gate, through every mount."""

import pytest

from support.keys import KEY, OTHER_KEY
from support.mounts import Mounted, make_gate

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def open_gate(mount, wine):
    return Mounted(mount, make_gate(wine, keys="open"))


def test_index_is_json_unless_html_is_preferred(mounted):
    response = mounted.request("GET", "/")

    assert (200, "application/json") == (response.status, response.header("content-type"))
    assert {"status", "deployments", "openapi", "live", "ready"} == set(response.json())
    for path in (response.json()["live"], response.json()["ready"]):
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
    assert ["broken", "double", "panic", "paused", "triple"] == [item["name"] for item in others]
    assert 401 == mounted.request("GET", "/deployments").status


def test_openapi_of_a_gate_covers_the_deployments_of_the_key(mounted):
    document = mounted.request("GET", "/openapi.json", headers={"x-api-key": OTHER_KEY}).json()

    assert {"/deployments/double/predict", "/deployments/triple/predict"} <= set(document["paths"])
    assert "/deployments/paused/predict" not in document["paths"]
    assert not any("wine" in path for path in document["paths"])
    assert 401 == mounted.request("GET", "/openapi.json").status
