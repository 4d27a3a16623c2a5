"""Which dialect a path belongs to."""

import pytest

from modelgate.dialects import Route
from modelgate.errors import MethodNotAllowed, NotFound
from modelgate.gate.routes import Routes


def routes_of(pairs):
    routes = Routes()
    for route, wire in pairs:
        routes.add(route, wire)
    return routes


ROUTES = routes_of(
    [
        (Route("POST", "/api/predict"), "one"),
        (Route("POST", "/api/predict/{key}"), "two"),
        (Route("GET", "/api/predict"), "three"),
        (Route("POST", "/api/predict"), "late"),
        (Route("POST", "/models/{deployment}/{version}/infer"), "four"),
        (Route("GET", "/v1/models/{deployment}:predict"), "five"),
        (Route("GET", "/a.c"), "six"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "dialect", "params"),
    [
        ("POST", "/api/predict", "one", {}),
        ("POST", "/api/predict/", "one", {}),
        ("GET", "/api/predict", "three", {}),
        ("POST", "/api/predict/k", "two", {"key": "k"}),
        ("POST", "/api/predict/k/", "two", {"key": "k"}),
        ("POST", "/api/predict/\u00e9 %{", "two", {"key": "\u00e9 %{"}),
        ("POST", "/models/churn/1.0/infer", "four", {"deployment": "churn", "version": "1.0"}),
        ("GET", "/v1/models/churn:predict", "five", {"deployment": "churn"}),
        ("GET", "/a.c", "six", {}),
        ("HEAD", "/a.c", "six", {}),
    ],
)
def test_a_path_is_found(method, path, dialect, params):
    """With its variable parts; a slash at the end changes nothing, and the first of two equals wins."""

    assert (dialect, params) == ROUTES.find(method, path)[1:]


@pytest.mark.parametrize(
    "path",
    ["", "/", "/api", "/api/predict//", "/api/predict/k/more", "/api/predictx", "//api/predict", "/api//predict",
     "/models//1/infer", "/models/a/b/c/infer", "/abc", "/API/predict", "api/predict", "/v1/models/a:b:predict"],
)  # fmt: skip
def test_a_path_of_no_route_is_not_found(path):
    """Neither more nor less than a route."""
    with pytest.raises(NotFound):
        ROUTES.find("POST", path)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/api/predict", "GET, HEAD, POST"), ("/api/predict/k", "POST"), ("/a.c/", "GET, HEAD")],
)
def test_a_method_of_no_route_is_told_those_there_are(path, allowed):
    """All of them, sorted."""
    with pytest.raises(MethodNotAllowed) as info:
        ROUTES.find("DELETE", path)

    assert {"allow": allowed} == info.value.headers


@pytest.mark.parametrize(
    "routes",
    [
        [Route("GET", "/a/{x}"), Route("POST", "/{y}/b")],
        [Route("GET", "/a/b"), Route("POST", "/a/{x}")],
        [Route("GET", "/a/{x}"), Route("POST", "/a/{other}")],
    ],
    ids=["two patterns", "fixed and pattern", "two names"],
)
def test_a_route_is_found_past_another_of_a_different_method(routes):
    """MethodNotAllowed is for a path no route of which has the method."""
    found = routes_of((route, route.method) for route in routes)

    assert "GET" == found.find("GET", "/a/b").wire
    assert "POST" == found.find("POST", "/a/b").wire
    with pytest.raises(MethodNotAllowed) as info:
        found.find("PUT", "/a/b")
    assert {"allow": "GET, HEAD, POST"} == info.value.headers


def test_without_routes_nothing_is_found():
    """An empty house."""
    with pytest.raises(NotFound):
        Routes().find("GET", "/")


def test_the_wire_format_nearby_answers_what_has_no_route():
    """The one whose paths begin most like it."""

    assert "two" == ROUTES.nearest("/api/predict/k/more")
    assert "four" == ROUTES.nearest("/models/churn")
    assert "five" == ROUTES.nearest("/v1/models/churn:explain")
    assert "four" == ROUTES.nearest("/models/")
    assert None is ROUTES.nearest("/nowhere")
    assert None is routes_of([(Route("GET", "/{deployment}"), "all")]).nearest("/nowhere")


def test_a_route_may_say_what_its_path_does_not():
    """And the one that came first stays."""
    routes = Routes()

    assert routes.add(Route("POST", "/detect"), "simple", {"deployment": "fraud"})
    assert not routes.add(Route("POST", "/detect"), "other", {"deployment": "spam"})
    assert ("simple", {"deployment": "fraud"}) == routes.find("POST", "/detect/")[1:]
