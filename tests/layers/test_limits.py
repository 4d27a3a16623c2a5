"""The limiting layers, each alone."""

import json
import re
import sys
import types
from functools import partial

import pytest

from modelgate import (
    AuthFailureLimit,
    BatchTooLarge,
    ConcurrencyLimit,
    ConfigurationError,
    DeploymentInactive,
    DeploymentUnavailable,
    InsufficientScope,
    KeyAuth,
    KeyInactive,
    NotFound,
    Overloaded,
    RateLimit,
    Response,
    Schema,
    TrustedProxies,
    Unauthorized,
    Validate,
    WithScoring,
    drive,
    stack,
)
from modelgate.http import call_encoding_errors
from modelgate.keys import Principal
from modelgate.layers import key_auth
from modelgate.layers.auth_failure_limit import _warn_once
from modelgate.limiting.limiter import _warn_once as _warn_of_workers
from modelgate.limiting.worker_count import detect_worker_count
from modelgate.testing import Client, FakeClock, StubHandler, request
from support.keys import KEY


def make_request(client="192.0.2.1", principal=None, deployment=None, **headers):
    made = request(client=client, headers={name.replace("_", "-"): value for name, value in headers.items()})
    made.context.principal, made.context.deployment = principal, deployment
    return made


def respond(layer, http_request=None, inner=None):
    return drive(
        call_encoding_errors(http_request or make_request(), partial(layer, call_next=inner or StubHandler()))
    )


def statuses(layer, *requests, inner=None):
    return [respond(layer, http_request, inner).status for http_request in requests]


def len_of(request):
    return 2


def principal(name, **options):
    return Principal(name, None, **options)


A, B = principal("a"), principal("b")


@pytest.mark.parametrize(
    ("by", "requests", "expected"),
    [
        (
            "caller",
            [make_request(principal=A), make_request("192.0.2.2", A), make_request(principal=B)],
            [200, 429, 200],
        ),
        ("caller", [make_request(), make_request(principal=A), make_request()], [200, 200, 429]),
        (
            "key",
            [make_request(principal=A), make_request("192.0.2.2", A), make_request(principal=B)],
            [200, 429, 200],
        ),
        ("key", [make_request("192.0.2.1"), make_request("192.0.2.2")], [200, 429]),
        (
            "key",
            [make_request(principal=principal(name, limit_bucket="first")) for name in ("first", "second")],
            [200, 429],
        ),
        ("owner", [make_request(principal=principal(name, owner="acme")) for name in "ab"], [200, 429]),
        (
            "owner",
            [make_request(principal=A), make_request(principal=B), make_request(principal=A)],
            [200, 200, 429],
        ),
        ("owner", [make_request(), make_request("192.0.2.2")], [200, 429]),
        (
            "address",
            [make_request(principal=A), make_request(principal=B), make_request("192.0.2.2")],
            [200, 429, 200],
        ),
        (
            "address",
            [make_request("2001:db8::1"), make_request("2001:db8::2"), make_request("2001:db8:0:1::1")],
            [200, 429, 200],
        ),
        ("address", [make_request("::ffff:192.0.2.1"), make_request("192.0.2.1")], [200, 429]),
        ("address", [make_request(None), make_request("")], [200, 429]),
        (
            "deployment",
            [make_request(deployment="x"), make_request("192.0.2.2", A, "x"), make_request(deployment="y")],
            [200, 429, 200],
        ),
        ("deployment", [make_request(), make_request("192.0.2.2")], [200, 429]),
        (
            "header:X-User",
            [make_request(x_user="1"), make_request(x_user="1"), make_request(x_user="2")],
            [200, 429, 200],
        ),
        ("header:X-User", [make_request(), make_request(x_user="")], [200, 429]),
        (
            "header:X-User",
            [make_request(x_user="x" * 5000), make_request(x_user="x" * 5000 + "y")],
            [200, 200],
        ),
        (lambda request: request.path, [make_request(), make_request("192.0.2.2")], [200, 429]),
        (
            lambda request: request.headers.get("x-id"),
            [make_request(), make_request(x_id=""), make_request(x_id="7")],
            [200, 429, 200],
        ),
        (lambda request: 7, [make_request(), make_request()], [200, 429]),
    ],
)
def test_rate_limit_identifies_callers(by, requests, expected):
    """Callers without a name share one bucket."""

    assert expected == statuses(RateLimit("1/minute", by=by), *requests)


@pytest.mark.parametrize("storage", ["memory", "redis"])
@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_rate_limit_charges_cost_in_any_storage(request, storage, strategy):
    """The headers have the remaining cost and the time of the reset."""
    uri = "memory://" if storage == "memory" else request.getfixturevalue("redis_server").uri
    clock = FakeClock()
    limit = RateLimit(
        "10/minute", cost=lambda request: 4, strategy=strategy, storage=uri, clock=clock, name=strategy
    )
    first, second, third = (respond(limit) for _ in range(3))

    assert [200, 200, 429] == [first.status, second.status, third.status]
    assert ["6", "2", "2"] == [a.header("x-ratelimit-remaining") for a in (first, second, third)]
    assert {"10"} == {a.header("x-ratelimit-limit") for a in (first, second, third)}
    assert [None, None] == [a.header("retry-after") for a in (first, second)]
    reset, wait = int(third.header("x-ratelimit-reset")), int(third.header("retry-after"))
    # A sliding window has room for 4 once its count of 8 is weighted as 6.
    assert {"fixed": 60, "moving": 75, "sliding": 75}[strategy] == wait
    assert clock.now + wait - 1 < reset <= clock.now + wait
    clock.advance(wait)
    assert 200 == respond(limit).status


def test_rate_limit_refunds_uncounted_responses():
    """The headers show the refund."""
    failures = RateLimit("2/minute", charge_when=lambda response: response.status >= 400)
    fine, bad = StubHandler(), StubHandler(NotFound())

    assert [200] * 5 == statuses(failures, *[make_request()] * 5, inner=fine)
    assert "2" == respond(failures, inner=fine).header("x-ratelimit-remaining")
    assert [404, 404, 429] == statuses(failures, *[make_request()] * 3, inner=bad)


def test_rate_limit_refunds_uncounted_responses_in_redis(redis_server):
    limit = RateLimit(
        "2/minute",
        charge_when=lambda response: response.status >= 400,
        storage=redis_server.uri,
        name="back",
    )

    assert [200] * 5 == statuses(limit, *[make_request()] * 5)
    assert [404, 404, 429] == statuses(limit, *[make_request()] * 3, inner=StubHandler(NotFound()))


def test_rate_limit_ignores_exempt_requests():
    """Their responses have no headers of the limit."""
    limit = RateLimit("1/minute", exempt=lambda request: request.headers.get("x-probe") == "1")
    responses = [respond(limit, make_request(x_probe="1")) for _ in range(3)]

    assert [(200, None)] * 3 == [
        (response.status, response.header("x-ratelimit-limit")) for response in responses
    ]
    assert [200, 429] == statuses(limit, make_request(), make_request())


def test_rate_limit_dry_run_rejects_nobody():
    """Responses are unchanged, and `rejected` counts what would have been rejected."""
    limit = RateLimit("1/minute", dry_run=True)
    responses = [respond(limit) for _ in range(3)]

    assert [(200, None)] * 3 == [
        (response.status, response.header("x-ratelimit-limit")) for response in responses
    ]
    assert 2 == limit.rejected


def test_rate_limit_uses_limits_of_key():
    """The gate's rate is used instead of an invalid one."""
    limit = RateLimit("2/minute")
    low, high, invalid = (principal(text, limits=text) for text in ("1/minute", "3/minute; 100/day", "often"))

    assert [200, 429] == statuses(limit, *[make_request(principal=low)] * 2)
    assert [200, 200, 200, 429] == statuses(limit, *[make_request(principal=high)] * 4)
    assert "3" == respond(limit, make_request(principal=high)).header("x-ratelimit-limit")
    assert [200, 200, 429] == statuses(limit, *[make_request(principal=invalid)] * 3)


def test_rate_limit_logs_invalid_limits_of_key_once(caplog):
    limit = RateLimit("9/minute")
    for _ in range(3):
        respond(limit, make_request(principal=principal("a", limits="often")))

    (record,) = caplog.records
    assert (
        "limits of a key cannot be used" in record.getMessage()
        and "'often' is not a window" in record.getMessage()
    )


@pytest.mark.parametrize(
    "options",
    [{"key_limits": False}, {"by": "owner"}, {"by": "address"}, {"cost": lambda request: 1}],
)
def test_rate_limit_ignores_limits_of_key(options):
    """If it does not count requests by caller or key, or `key_limits` is False."""
    requests = [make_request(principal=principal("a", limits="9/minute"))] * 2

    assert [200, 429] == statuses(RateLimit("1/minute", **options), *requests)


def test_rate_limit_by_owner_ignores_limits_of_keys():
    requests = [
        make_request(principal=principal(limits, owner="acme", limits=limits))
        for limits in ("5/minute", "6/minute")
    ]

    assert [200, 429] == statuses(RateLimit("1/minute", by="owner"), *requests)


def test_two_rate_limits_charge_limits_of_key_separately(redis_server):
    """In Redis, their own rates distinguish them."""
    limits = [RateLimit(rate, storage=redis_server.uri, name="twice") for rate in ("9/minute", "99/day")]
    handler = stack(limits, StubHandler())
    requests = [make_request(principal=principal("twice", limits="2/minute"))] * 3

    assert [200, 200, 429] == [drive(call_encoding_errors(request, handler)).status for request in requests]


def test_rate_limit_names_separate_functions_in_redis(redis_server):
    """Limits with the same name share their counts."""
    first, second = (
        RateLimit("1/minute", by=by, storage=redis_server.uri, name=scope)
        for scope, by in (
            ("paths", lambda request: request.path),
            ("methods", lambda request: request.method),
        )
    )
    alike = RateLimit("1/minute", by=lambda request: "/", storage=redis_server.uri, name="paths")

    assert ([200], [200], [429]) == (
        statuses(first, make_request()),
        statuses(second, make_request()),
        statuses(alike, make_request()),
    )


@pytest.mark.parametrize("options", [{"by": len_of}, {"cost": len_of}])
def test_rate_limit_requires_name_for_function_in_redis(options):
    with pytest.raises(ConfigurationError, match="name must be set"):
        RateLimit("2/minute", storage="redis://nowhere.invalid", **options)
    RateLimit("2/minute", storage="memory://", **options)


async def of_request(request):
    return "a"


class AsyncCall:
    async def __call__(self, request):
        return "a"


@pytest.mark.parametrize("option", ["by", "cost", "exempt", "charge_when"])
@pytest.mark.parametrize("function", [of_request, partial(of_request), AsyncCall()])
def test_rate_limit_rejects_async_functions(option, function):
    with pytest.raises(ConfigurationError, match=f"{option} must be a function that is not async"):
        RateLimit("1/minute", **{option: function})


@pytest.mark.parametrize(
    ("charge_when", "expected"),
    [
        (lambda response: response.status < 500, ["raised"] * 3),
        (lambda response: response.status >= 400, ["raised", 429, 429]),
        (None, ["raised", 429, 429]),
    ],
)
@pytest.mark.parametrize("cost", ["request", "rows"])
def test_rate_limit_counts_failed_app_as_500(charge_when, expected, cost):
    limit = RateLimit("1/minute", cost=cost, charge_when=charge_when)

    def raises(request):
        yield from ()
        for check in request.context.on_rows:
            yield from check(1)
        raise LookupError

    def outcome():
        try:
            return respond(limit, inner=raises).status
        except LookupError:
            return "raised"

    assert expected == [outcome() for _ in range(3)]


def test_rate_limit_rejects_cost_above_capacity_with_413():
    """Without Retry-After, since a retry cannot succeed."""
    limit = RateLimit("100/day; 10/minute", cost=lambda request: 11)
    with pytest.raises(BatchTooLarge, match="allows at most 10 at once") as info:
        drive(limit(make_request(), StubHandler()))

    assert (413, 10, {}) == (info.value.status, info.value.limit, info.value.headers)


@pytest.mark.parametrize("cost", [-1, 1.5, None, True])
def test_rate_limit_rejects_invalid_cost(cost):
    with pytest.raises(ValueError, match="cost must return"):
        drive(RateLimit("1/day", cost=lambda request: cost)(make_request(), StubHandler()))


def test_ietf_headers_describe_all_windows():
    """They are optional, and are sent with rejections too."""
    limit = RateLimit("2/minute; 5/day", ietf_headers=True, clock=FakeClock())
    first, _, refused = (respond(limit) for _ in range(3))

    policy = '"5 per 1 day";q=5;w=86400, "2 per 1 minute";q=2;w=60'
    assert (policy, policy) == (first.header("ratelimit-policy"), refused.header("ratelimit-policy"))
    assert '"5 per 1 day";r=4;t=86400, "2 per 1 minute";r=1;t=60' == first.header("ratelimit")
    assert '"5 per 1 day";r=3;t=86400, "2 per 1 minute";r=0;t=60' == refused.header("ratelimit")
    assert None is respond(RateLimit("2/minute")).header("ratelimit")


def test_ietf_headers_of_two_limits_are_joined():
    """The inner limit comes first."""
    outer, inner = (
        RateLimit(rate, ietf_headers=True, cost=cost)
        for rate, cost in (("9/day", len_of), ("5/minute", "request"))
    )
    response = drive(stack([outer, inner], StubHandler())(make_request()))

    assert '"5 per 1 minute";q=5;w=60, "9 per 1 day";q=9;w=86400;qu="units"' == response.header(
        "ratelimit-policy"
    )
    assert ("5", "4") == (response.header("x-ratelimit-limit"), response.header("x-ratelimit-remaining"))


AGE = Schema.of(age=float)


def rows(count, column="age"):
    body = json.dumps({"input_data": [{column: 1}] * count}).encode()
    return request(body=body, headers={"content-type": "application/json"})


def limit_rows(**options):
    """Return a limit by rows around an app whose rows are validated."""
    return stack(
        [RateLimit(cost="rows", **options), WithScoring(Validate(AGE), predictions=None)], StubHandler()
    )


@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_rate_limit_counts_rows(request, storage):
    """A batch is charged as a whole, after its rows were validated."""
    uri = "memory://" if storage == "memory" else request.getfixturevalue("redis_server").uri
    handler = limit_rows(rate="10/minute", storage=uri)
    responses = [
        drive(call_encoding_errors(http_request, handler))
        for http_request in (rows(4), rows(5, "wrong"), rows(7), rows(6), rows(1))
    ]

    assert [200, 400, 429, 200, 429] == [response.status for response in responses]
    assert ["6", None, "6", "0", "0"] == [response.header("x-ratelimit-remaining") for response in responses]


def test_rate_limit_rejects_too_many_rows_with_413():
    """The message has the number."""
    response = drive(call_encoding_errors(rows(11), limit_rows(rate="10/minute")))

    assert 413 == response.status
    assert (
        b"The request has 11 rows" in response.body and b"send at most 10 rows per request" in response.body
    )


def test_rate_limit_refunds_rows():
    handler = limit_rows(rate="10/minute", charge_when=lambda response: response.status != 200)

    assert ["10"] * 3 == [drive(handler(rows(10))).header("x-ratelimit-remaining") for _ in range(3)]


@pytest.mark.parametrize("charge_when", [None, lambda response: True])
@pytest.mark.parametrize("cost", ["request", "rows"])
def test_rate_limit_does_not_charge_overload(cost, charge_when):
    """Another 503 is charged."""
    limit = RateLimit("20/minute", cost=cost, charge_when=charge_when)
    scoring = WithScoring(Validate(AGE), predictions=None)
    answers = [
        drive(call_encoding_errors(rows(5), stack([limit, scoring], StubHandler(error))))
        for error in (Overloaded(), Overloaded(), DeploymentUnavailable())
    ]
    left = [int(answer.header("x-ratelimit-remaining")) for answer in answers]

    assert [503] * 3 == [answer.status for answer in answers]
    assert [20, 20, 15 if cost == "rows" else 19] == left


def test_overload_has_a_random_retry_after():
    """Rejected callers do not all return at once."""
    assert {1, 2, 3} == {Overloaded().retry_after for _ in range(200)}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_rate_limit_requires_validated_rows(method):
    """Otherwise it would let everything pass."""
    limit = RateLimit("10/minute", cost="rows")

    with pytest.raises(RuntimeError, match="no layer counted the rows"):
        drive(limit(request(method), StubHandler()))
    assert 404 == respond(limit, inner=StubHandler(NotFound())).status
    assert 200 == respond(limit, request("GET")).status


def limit_failures(*, rate="2/minute", **options):
    """Return `AuthFailureLimit` around `KeyAuth`, and the inner handler."""
    inner = StubHandler()
    return stack([AuthFailureLimit(rate, **options), KeyAuth({KEY: "*"})], inner), inner


def test_auth_failure_limit_counts_by_address():
    """Above the limit even a valid key is not looked up."""
    clock = FakeClock()
    handler, _ = limit_failures(clock=clock)
    wrong, right = {"x_api_key": "wrong"}, {"x_api_key": KEY}
    requests = [
        make_request(**right),
        make_request(**wrong),
        make_request(),
        make_request(**right),
        make_request("192.0.2.2", **right),
    ]
    responses = [drive(call_encoding_errors(request, handler)) for request in requests]

    assert [200, 401, 401, 429, 200] == [response.status for response in responses]
    assert "60" == responses[3].header("retry-after")
    assert b"failed authentication" in responses[3].body
    clock.advance(60)
    assert 200 == drive(call_encoding_errors(make_request(**right), handler)).status


@pytest.mark.parametrize("accepted", [False, True])
def test_auth_failure_limit_counts_inactive_key_once(accepted):

    class Store:
        active = accepted

        def find(self, key):
            yield from ()
            if not self.active:
                raise KeyInactive("a", "revoked", "It is revoked")
            return Principal("a", None)

    store = Store()
    handler = stack([AuthFailureLimit("2/minute"), KeyAuth(store)], StubHandler())
    before = [
        drive(call_encoding_errors(make_request(x_api_key=KEY), handler)).status for _ in range(3 * accepted)
    ]
    store.active = False

    assert [200] * (3 * accepted) == before
    assert [403, 403, 429] == [
        drive(call_encoding_errors(make_request(x_api_key=KEY), handler)).status for _ in range(3)
    ]


def test_key_auth_accepts_more_keys_than_it_remembers(monkeypatch):
    monkeypatch.setattr(key_auth, "_MAX_ACCEPTED", 2)
    keys = [f"a-key-of-some-length-{index}" for index in range(5)]
    layer, inner = KeyAuth(dict.fromkeys(keys, "*")), StubHandler()
    for key in keys * 2:
        drive(layer(make_request(x_api_key=key), inner))

    assert 10 == len(inner.requests)
    assert len(layer._accepted) <= 2


def test_two_auth_failure_limits_both_count():
    handler = stack(
        [AuthFailureLimit("1/day"), AuthFailureLimit("9/minute"), KeyAuth({KEY: "*"})], StubHandler()
    )

    assert [401, 429] == [
        drive(call_encoding_errors(make_request(x_api_key="wrong"), handler)).status for _ in range(2)
    ]


def test_auth_failure_limit_does_not_count_valid_keys():
    handler, inner = limit_failures()
    for _ in range(100):
        drive(handler(make_request(x_api_key=KEY)))

    assert 100 == len(inner.requests)


def test_auth_failure_limit_counts_concurrent_failures():
    """A caller over the limit gets 429 instead of 401."""
    limit = AuthFailureLimit("1/minute")

    def fails(request):
        # Another request failed while this key was looked up.
        respond(limit, inner=StubHandler(Unauthorized()))
        raise Unauthorized
        yield

    assert 429 == respond(limit, inner=fails).status


@pytest.mark.parametrize("error", [KeyInactive("a", "revoked", "It is revoked"), InsufficientScope()])
@pytest.mark.parametrize("layers", [[], [RateLimit("9/minute")]])
def test_auth_failure_limit_counts_missing_permission(error, layers):
    """Whether the error is raised or already encoded by a layer in between."""
    handler = stack([AuthFailureLimit("1/minute"), *layers], StubHandler(error))

    assert [403, 429] == [drive(call_encoding_errors(make_request(), handler)).status for _ in range(2)]


def test_auth_failure_limit_does_not_count_other_rejections():
    """Such as an inactive deployment."""
    limit = AuthFailureLimit("1/minute")

    assert [403] * 3 == statuses(limit, *[make_request()] * 3, inner=StubHandler(DeploymentInactive()))
    assert [403] * 3 == statuses(limit, *[make_request()] * 3, inner=StubHandler(Response(403)))


def test_auth_failure_limit_counts_401_of_app():
    limit = AuthFailureLimit("1/minute")

    assert [401, 429] == statuses(limit, make_request(), make_request(), inner=StubHandler(Response(401)))


def test_auth_failure_limit_does_not_reject_unknown_proxy(caplog):
    """Failures behind it are counted and logged once."""
    _warn_once.cache_clear()
    handler, _ = limit_failures(rate="1/minute", skip_forwarded=True)
    forwarded = {"x_forwarded_for": "203.0.113.9"}
    requests = [make_request(x_api_key="wrong", **forwarded)] * 3 + [
        make_request(x_api_key=KEY, **forwarded),
        make_request(x_api_key=KEY),
    ]

    assert [401, 401, 401, 200, 429] == [
        drive(call_encoding_errors(request, handler)).status for request in requests
    ]
    assert ["trusted_proxies=[…]" in record.getMessage() for record in caplog.records] == [True]


def test_concurrency_limit_rejects_further_requests():
    """There is room again after a request has ended."""
    limit = ConcurrencyLimit(2)
    first, second, third, other = (make_request(principal=who) for who in (A, A, A, B))

    assert [200, 200, 429, 200] == statuses(limit, first, second, third, other)
    first.close()
    again = respond(limit, make_request(principal=A))
    assert 200 == again.status
    for http_request in (second, other):
        http_request.close()


def test_concurrency_limit_removes_idle_callers():
    limit = ConcurrencyLimit(1, by="address")
    first = make_request()
    _, rejected = (respond(limit, http_request) for http_request in (first, make_request()))
    first.close()

    assert (429, "1") == (rejected.status, rejected.header("retry-after"))
    assert {} == limit._in_flight


def test_trusted_proxies_set_address_of_caller(wrap):
    """Inner layers use that address."""
    app = wrap(TrustedProxies(["192.0.2.0/24"]), RateLimit("1/minute"))
    clients = [Client(app, headers={"x-forwarded-for": f"203.0.113.{host}"}) for host in (1, 2, 1)]
    stranger = Client(app, address="198.51.100.1", headers={"x-forwarded-for": "203.0.113.3"})

    assert [200, 200, 429] == [client.get("/").status for client in clients]
    assert [200, 429] == [stranger.get("/").status for _ in range(2)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rate": "5 per fortnite"}, "'fortnite' is not a unit"),
        ({"by": "color"}, "by must be caller, key, owner, address, deployment, header:NAME"),
        ({"by": "header:"}, "(got 'header:')"),
        ({"by": ["key"]}, "by must be"),
        ({"cost": "bytes"}, 'cost must be "request", "rows"'),
        ({"strategy": "rolling"}, "strategy must be one of fixed, sliding, moving (got 'rolling')"),
        ({"storage": None}, 'storage must be "memory://"'),
        ({"on_storage_error": "open"}, "on_storage_error must be local or deny (got 'open')"),
        ({"rate": "5/999999999 year"}, "'5/999999999 year' is longer than 10 years"),
        ({"rate": "1 per 11 years"}, "is longer than 10 years"),
        ({"name": None}, "name must be a string (got None)"),
        ({"name": 7, "storage": "redis://nowhere.invalid"}, "name must be a string (got 7)"),
        ({"processes": 0}, "processes"),
        ({"lease": 0.1}, "lease must be None unless storage is redis://… (got 0.1)"),
        ({"lease": 0.1, "storage": "memcached://h:1"}, "lease must be None unless storage is redis://…"),
        ({"lease": 0.6, "storage": "redis://h"}, "lease must be a number above 0 and at most 0.5 (got 0.6)"),
        ({"lease": True, "storage": "redis://h"}, "lease must be a number above 0"),
        ({"lease": float("nan"), "storage": "redis://h"}, "lease must be a number above 0"),
        (
            {"rate": "50/minute; 400/day", "lease": 0.03, "storage": "redis://h"},
            "lease must be at least 0.04 for a limit of 50 (got 0.03): a block of less than 2 saves nothing",
        ),
        ({"exempt": "key"}, "exempt must be a function (got 'key')"),
        ({"charge_when": 200}, "charge_when must be a function (got 200)"),
    ],
)
def test_rate_limit_rejects_invalid_options(options, named):
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        RateLimit(**options)


@pytest.mark.parametrize("limit", [0, True, "2"])
def test_concurrency_limit_rejects_invalid_limit(limit):
    with pytest.raises(ConfigurationError, match="limit"):
        ConcurrencyLimit(limit)


@pytest.mark.parametrize(
    ("environ", "argv", "workers"),
    [
        ({}, ["app.py"], 1),
        ({}, [], 1),
        ({"WEB_CONCURRENCY": "4"}, ["app.py"], 4),
        ({"WEB_CONCURRENCY": "many"}, ["app.py"], 1),
        ({"WEB_CONCURRENCY": "0"}, ["app.py"], 1),
        ({}, ["/usr/bin/gunicorn", "-w", "3", "app:app"], 3),
        ({}, ["gunicorn", "app:app", "-w3"], 3),
        ({}, ["/lib/uvicorn/__main__.py", "--workers=2", "app:app"], 2),
        ({}, ["uvicorn", "--workers", "2"], 2),
        ({"GUNICORN_CMD_ARGS": "--bind :80 --workers=5"}, ["gunicorn", "app:app"], 5),
        ({}, ["pytest", "-w", "3"], 1),
    ],
)
def test_worker_count_is_detected(environ, argv, workers):
    """In the environment and in the options of known servers."""

    assert workers == detect_worker_count(environ, argv)


def test_worker_count_of_uwsgi_is_detected(monkeypatch):
    monkeypatch.setitem(sys.modules, "uwsgi", types.SimpleNamespace(numproc=3))

    assert detect_worker_count({}, ["uwsgi"]) == 3


def test_rate_limit_warns_of_memory_with_several_workers(monkeypatch, caplog):
    """Once, with the remedy."""
    _warn_of_workers.cache_clear()
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    RateLimit("1/day")
    RateLimit("1/day")

    assert 1 == len(caplog.records)
    assert "each of 4 workers" in caplog.text and 'storage="redis://…"' in caplog.text
