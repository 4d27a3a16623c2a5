"""Routes of several dialects."""

import pytest

from modelgate.errors import MethodNotAllowed, NotFound
from modelgate.http.routing import Route, Router


def make_router(pairs):
    router = Router()
    for route, wire in pairs:
        router.add(route, wire)
    return router


ROUTER = make_router(
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
def test_router_finds_routes(method, path, dialect, params):
    """A trailing slash is ignored, and the first of two equal routes wins."""

    assert (dialect, params) == ROUTER.find(method, path)[1:]


@pytest.mark.parametrize(
    "path",
    ["", "/", "/api", "/api/predict//", "/api/predict/k/more", "/api/predictx", "//api/predict", "/api//predict",
     "/models//1/infer", "/models/a/b/c/infer", "/abc", "/API/predict", "api/predict", "/v1/models/a:b:predict"],
)  # fmt: skip
def test_router_rejects_unknown_paths(path):
    with pytest.raises(NotFound):
        ROUTER.find("POST", path)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/api/predict", "GET, HEAD, POST"), ("/api/predict/k", "POST"), ("/a.c/", "GET, HEAD")],
)
def test_router_lists_the_allowed_methods(path, allowed):
    with pytest.raises(MethodNotAllowed) as info:
        ROUTER.find("DELETE", path)

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
def test_router_skips_routes_of_other_methods(routes):
    """MethodNotAllowed is raised only if no matching route has the method."""
    router = make_router((route, route.method) for route in routes)

    assert "GET" == router.find("GET", "/a/b").wire
    assert "POST" == router.find("POST", "/a/b").wire
    with pytest.raises(MethodNotAllowed) as info:
        router.find("PUT", "/a/b")
    assert {"allow": "GET, HEAD, POST"} == info.value.headers


def test_router_without_routes():
    with pytest.raises(NotFound):
        Router().find("GET", "/")


def test_router_finds_the_wire_format_with_the_longest_prefix():
    assert "two" == ROUTER.nearest("/api/predict/k/more")
    assert "four" == ROUTER.nearest("/models/churn")
    assert "five" == ROUTER.nearest("/v1/models/churn:explain")
    assert "four" == ROUTER.nearest("/models/")
    assert None is ROUTER.nearest("/nowhere")
    assert None is make_router([(Route("GET", "/{deployment}"), "all")]).nearest("/nowhere")


def test_route_can_have_additional_parameters():
    """A second route with the same path is not added."""
    router = Router()

    assert router.add(Route("POST", "/detect"), "simple", {"deployment": "fraud"})
    assert not router.add(Route("POST", "/detect"), "other", {"deployment": "spam"})
    assert ("simple", {"deployment": "fraud"}) == router.find("POST", "/detect/")[1:]
