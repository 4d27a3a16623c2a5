"""Cross-origin requests and HTTPS, through every mount."""

import pytest

from modelgate import ConfigurationError, Gate
from support.keys import KEY
from support.mounts import Mounted, make_gate

PAGE = "https://app.example"
PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST"}


@pytest.fixture
def cross_origin(mount, wine):
    return Mounted(mount, make_gate(wine, cors=[PAGE], limits="2/minute"))


def test_preflight_requests_need_no_key_and_count_for_no_limit(cross_origin):
    for _ in range(4):
        response = cross_origin.request("OPTIONS", "/simple/double", headers=PREFLIGHT)

        assert 204 == response.status
        assert PAGE == response.header("access-control-allow-origin")


def test_responses_to_pages_have_an_allowed_origin(cross_origin):
    """Also those of unknown paths, missing keys and exceeded limits."""
    key = {"x-api-key": KEY}
    statuses = []
    for path, headers in [("/nowhere", {}), ("/simple/wine", {}), *[("/simple/wine", key)] * 3]:
        response = cross_origin.post(path, json={}, headers={"origin": PAGE, **headers})
        statuses.append(response.status)

        assert PAGE == response.header("access-control-allow-origin"), response

    assert [404, 401, 400, 400, 429] == statuses


def test_gates_without_the_option_allow_no_origin(mounted):
    response = mounted.request("OPTIONS", "/simple/double", headers=PREFLIGHT)

    assert 405 == response.status
    assert response.header("access-control-allow-origin") is None


def test_cors_option_is_named_in_its_error():
    with pytest.raises(ConfigurationError, match="cors: origins must be"):
        Gate(keys="open", cors=["app.example"])


def test_https_only_rejects_plain_http_except_health_checks(mount, wine):
    secure = Mounted(mount, make_gate(wine, https_only=True, trusted_proxies=["192.0.2.0/24"]))
    headers = {"x-api-key": KEY}

    assert 403 == secure.request("GET", "/deployments/wine", headers=headers).status
    assert 200 == secure.request("GET", "/health/live").status
    headers["x-forwarded-proto"] = "https"
    assert 200 == secure.request("GET", "/deployments/wine", headers=headers).status
