"""Cross-origin requests, and requests over plain HTTP."""

import pytest

from modelgate import (
    BodyLimit,
    ConfigurationError,
    Cors,
    Forbidden,
    HttpsOnly,
    KeyAuth,
    Response,
    TrustedProxies,
    drive,
    stack,
)
from modelgate.testing import Client, StubHandler, request
from support.keys import KEY

PAGE = "https://app.example"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


def call_cors(origins, headers, *, method="POST", response=None):
    """Return the header fields of a response that has passed the layer."""
    inner = StubHandler(response or Response(200))
    return dict(drive(Cors(origins)(request(method=method, headers=headers), inner)).headers)


def test_cors_answers_preflight_requests_before_keys_are_required(wrap):
    response = Client(wrap(Cors([PAGE]), KeyAuth({KEY: "app"}, scope="app"))).request(
        "OPTIONS", "/", headers=PREFLIGHT
    )

    assert 204 == response.status
    assert PAGE == response.header("access-control-allow-origin")
    assert "POST" in response.header("access-control-allow-methods").split(", ")
    assert "authorization,content-type" == response.header("access-control-allow-headers")
    assert "600" == response.header("access-control-max-age")
    assert "Origin" == response.header("vary")


def test_cors_lets_pages_read_errors(wrap):
    client = Client(
        wrap(Cors([PAGE]), BodyLimit(5), KeyAuth({KEY: "app"}, scope="app")), headers={"origin": PAGE}
    )

    for response in (
        client.post("/", body=b"abc"),
        client.post("/", body=b"abc", headers={"x-api-key": KEY}),
        client.post("/", body=b"too large", headers={"x-api-key": KEY}),
    ):
        assert PAGE == response.header("access-control-allow-origin"), response
        assert "*" == response.header("access-control-expose-headers")


def test_cors_lets_no_other_page_read_responses():
    other = call_cors([PAGE], {"origin": "https://evil.example"})
    preflight = call_cors([PAGE], PREFLIGHT | {"origin": "https://evil.example"}, method="OPTIONS")

    assert {"vary": "Origin"} == other == preflight


def test_cors_compares_whole_origins():
    for origin in ("https://app.example.evil", "http://app.example", "https://app.example:444", "null"):
        assert "access-control-allow-origin" not in call_cors([PAGE], {"origin": origin}), origin


def test_cors_without_an_origin_only_marks_the_response_for_caches():
    assert {"vary": "Origin"} == call_cors([PAGE], {})
    assert {"vary": "accept, Origin"} == call_cors(
        [PAGE], {}, response=Response(200, b"", [("vary", "accept")])
    )


def test_cors_for_any_page_does_not_depend_on_the_origin():
    allowed = call_cors("*", {"origin": "https://anything.example"})

    assert {"access-control-allow-origin": "*", "access-control-expose-headers": "*"} == allowed
    assert allowed == call_cors("*", {})


def test_cors_passes_other_options_requests_on():
    inner = StubHandler(Response(200))
    sent = request(method="OPTIONS", headers={"origin": PAGE})

    drive(Cors([PAGE])(sent, inner))

    assert [sent] == inner.requests


@pytest.mark.parametrize(
    "origins", ["https://app.example", ["https://app.example/"], ["app.example"], ["*", PAGE], [7], 7]
)
def test_cors_rejects_what_is_no_list_of_origins(origins):
    with pytest.raises(ConfigurationError, match="origins must be"):
        Cors(origins)


def test_cors_rejects_a_max_age_of_zero():
    with pytest.raises(ConfigurationError, match="max_age must be"):
        Cors("*", max_age=0)


@pytest.mark.parametrize(
    ("scheme", "client", "headers", "accepted"),
    [
        ("https", "192.0.2.1", {}, True),
        ("http", "192.0.2.1", {}, False),
        ("http", "192.0.2.1", {"x-forwarded-proto": "https"}, False),
        ("http", "10.0.0.1", {"x-forwarded-proto": "https"}, True),
        ("http", "10.0.0.1", {"x-forwarded-proto": "HTTPS, http"}, True),
        ("https", "10.0.0.1", {"x-forwarded-proto": "http"}, False),
        ("https", "10.0.0.1", {"x-forwarded-proto": "ftp"}, True),
        ("http", "10.0.0.1", {"forwarded": 'for=192.0.2.1;proto="https", for=10.0.0.2;proto=http'}, True),
        ("http", "10.0.0.1", {"forwarded": 'for="a;proto=https"'}, False),
    ],
)
def test_https_only_believes_only_trusted_proxies(scheme, client, headers, accepted):
    sent = request(client=client, headers=headers)
    sent.scheme = scheme
    layers = stack([TrustedProxies(["10.0.0.0/8"]), HttpsOnly()], StubHandler(Response(200)))

    if accepted:
        assert 200 == drive(layers(sent)).status
    else:
        with pytest.raises(Forbidden, match="https://"):
            drive(layers(sent))
