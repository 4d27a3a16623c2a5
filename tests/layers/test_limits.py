"""The layers that limit, each alone."""

import json
import re
from functools import partial

import pytest

from conftest import KEY
from modelgate import (
    AuthFailures,
    BatchTooLarge,
    Concurrency,
    ConfigurationError,
    DeploymentInactive,
    InsufficientScope,
    KeyAuth,
    KeyInactive,
    NotFound,
    RateLimit,
    Response,
    Schema,
    Scored,
    TrustedProxies,
    Unauthorized,
    Validate,
    drive,
    stack,
)
from modelgate.http import answered
from modelgate.keys import Principal
from modelgate.layers.auth_failures import _warn
from modelgate.limiting.limiter import _warn as _warn_of_workers
from modelgate.limiting.workers import visible_workers
from modelgate.testing import Client, Clock, Inner, request


def asked(client="192.0.2.1", principal=None, deployment=None, **headers):
    made = request(client=client, headers={name.replace("_", "-"): value for name, value in headers.items()})
    made.principal, made.deployment = principal, deployment
    return made


def answer(layer, told=None, inner=None):
    return drive(answered(told or asked(), partial(layer, call_next=inner or Inner())))


def statuses(layer, *asked, inner=None):
    return [answer(layer, told, inner).status for told in asked]


def len_of(request):
    return 2


def principal(name, **options):
    return Principal(name, None, **options)


A, B = principal("a"), principal("b")


@pytest.mark.parametrize(
    ("by", "asking", "expected"),
    [
        ("caller", [asked(principal=A), asked("192.0.2.2", A), asked(principal=B)], [200, 429, 200]),
        ("caller", [asked(), asked(principal=A), asked()], [200, 200, 429]),
        ("key", [asked(principal=A), asked("192.0.2.2", A), asked(principal=B)], [200, 429, 200]),
        ("key", [asked("192.0.2.1"), asked("192.0.2.2")], [200, 429]),
        (
            "key",
            [asked(principal=principal(name, counted_as="first")) for name in ("first", "second")],
            [200, 429],
        ),
        ("owner", [asked(principal=principal(name, owner="acme")) for name in "ab"], [200, 429]),
        ("owner", [asked(principal=A), asked(principal=B), asked(principal=A)], [200, 200, 429]),
        ("owner", [asked(), asked("192.0.2.2")], [200, 429]),
        ("address", [asked(principal=A), asked(principal=B), asked("192.0.2.2")], [200, 429, 200]),
        ("address", [asked("2001:db8::1"), asked("2001:db8::2"), asked("2001:db8:0:1::1")], [200, 429, 200]),
        ("address", [asked("::ffff:192.0.2.1"), asked("192.0.2.1")], [200, 429]),
        ("address", [asked(None), asked("")], [200, 429]),
        (
            "deployment",
            [asked(deployment="x"), asked("192.0.2.2", A, "x"), asked(deployment="y")],
            [200, 429, 200],
        ),
        ("deployment", [asked(), asked("192.0.2.2")], [200, 429]),
        ("header:X-User", [asked(x_user="1"), asked(x_user="1"), asked(x_user="2")], [200, 429, 200]),
        ("header:X-User", [asked(), asked(x_user="")], [200, 429]),
        ("header:X-User", [asked(x_user="x" * 5000), asked(x_user="x" * 5000 + "y")], [200, 200]),
        (lambda request: request.path, [asked(), asked("192.0.2.2")], [200, 429]),
        (
            lambda request: request.headers.get("x-id"),
            [asked(), asked(x_id=""), asked(x_id="7")],
            [200, 429, 200],
        ),
        (lambda request: 7, [asked(), asked()], [200, 429]),
    ],
)
def test_whose_requests_are_counted_together(by, asking, expected):
    """As *by* says; who has no name shares the bucket of all who have none."""

    assert expected == statuses(RateLimit("1/minute", by=by), *asking)


@pytest.mark.parametrize("storage", ["memory", "redis"])
@pytest.mark.parametrize("strategy", ["fixed", "sliding", "moving"])
def test_a_limit_in_any_storage(request, storage, strategy):
    """Costs what it costs, tells how it stands and when more may pass."""
    uri = "memory://" if storage == "memory" else request.getfixturevalue("redis_server").uri
    clock = Clock()
    limit = RateLimit(
        "10/minute", cost=lambda request: 4, strategy=strategy, storage=uri, clock=clock, scope=strategy
    )
    first, second, third = (answer(limit) for _ in range(3))

    assert [200, 200, 429] == [first.status, second.status, third.status]
    assert ["6", "2", "2"] == [a.header("x-ratelimit-remaining") for a in (first, second, third)]
    assert {"10"} == {a.header("x-ratelimit-limit") for a in (first, second, third)}
    assert [None, None] == [a.header("retry-after") for a in (first, second)]
    reset, wait = int(third.header("x-ratelimit-reset")), int(third.header("retry-after"))
    # A sliding window has room for four when its eight have the weight of six.
    assert {"fixed": 60, "moving": 75, "sliding": 75}[strategy] == wait
    assert clock.now + wait - 1 < reset <= clock.now + wait
    clock.advance(wait)
    assert 200 == answer(limit).status


def test_an_answer_that_does_not_count_is_not_charged():
    """In either storage the charge is taken back, and the answer tells so."""
    failures = RateLimit("2/minute", charge_when=lambda response: response.status >= 400)
    fine, bad = Inner(), Inner(NotFound())

    assert [200] * 5 == statuses(failures, *[asked()] * 5, inner=fine)
    assert "2" == answer(failures, inner=fine).header("x-ratelimit-remaining")
    assert [404, 404, 429] == statuses(failures, *[asked()] * 3, inner=bad)


def test_an_answer_that_does_not_count_is_not_charged_in_redis(redis_server):
    """As in memory."""
    limit = RateLimit(
        "2/minute",
        charge_when=lambda response: response.status >= 400,
        storage=redis_server.uri,
        scope="back",
    )

    assert [200] * 5 == statuses(limit, *[asked()] * 5)
    assert [404, 404, 429] == statuses(limit, *[asked()] * 3, inner=Inner(NotFound()))


def test_who_is_exempt_is_neither_counted_nor_refused():
    """And is told of no limit."""
    limit = RateLimit("1/minute", exempt=lambda request: request.headers.get("x-probe") == "1")
    told = [answer(limit, asked(x_probe="1")) for _ in range(3)]

    assert [(200, None)] * 3 == [(each.status, each.header("x-ratelimit-limit")) for each in told]
    assert [200, 429] == statuses(limit, asked(), asked())


def test_a_shadow_counts_and_refuses_nobody():
    """Its callers see nothing of it; who would have been refused is counted."""
    limit = RateLimit("1/minute", shadow=True)
    told = [answer(limit) for _ in range(3)]

    assert [(200, None)] * 3 == [(each.status, each.header("x-ratelimit-limit")) for each in told]
    assert 2 == limit.refused


def test_limits_of_a_key_take_the_place_of_the_gates():
    """More or fewer; a row that cannot be read leaves the gate's in force."""
    limit = RateLimit("2/minute")
    few, many, odd = (principal(text, limits=text) for text in ("1/minute", "3/minute; 100/day", "often"))

    assert [200, 429] == statuses(limit, *[asked(principal=few)] * 2)
    assert [200, 200, 200, 429] == statuses(limit, *[asked(principal=many)] * 4)
    assert "3" == answer(limit, asked(principal=many)).header("x-ratelimit-limit")
    assert [200, 200, 429] == statuses(limit, *[asked(principal=odd)] * 3)


def test_limits_of_a_key_that_cannot_be_read_are_told_once(caplog):
    """Not at each request."""
    limit = RateLimit("9/minute")
    for _ in range(3):
        answer(limit, asked(principal=principal("a", limits="often")))

    (record,) = caplog.records
    assert (
        "own limits cannot be read, and the gate's hold: rate='often': 'often' is no" in record.getMessage()
    )


@pytest.mark.parametrize(
    "options",
    [{"key_limits": False}, {"by": "owner"}, {"by": "address"}, {"cost": lambda request: 1}],
)
def test_limits_of_a_key_leave_other_limits_alone(options):
    """Those by something else, of something else, or that say so."""
    told = [asked(principal=principal("a", limits="9/minute"))] * 2

    assert [200, 429] == statuses(RateLimit("1/minute", **options), *told)


def test_keys_of_one_owner_share_the_gates_limit():
    """Whatever limits each has of its own."""
    told = [
        asked(principal=principal(limits, owner="acme", limits=limits)) for limits in ("5/minute", "6/minute")
    ]

    assert [200, 429] == statuses(RateLimit("1/minute", by="owner"), *told)


def test_two_limits_charge_a_key_with_limits_of_its_own_once_each(redis_server):
    """In Redis, where their own rates tell them apart."""
    limits = [RateLimit(rate, storage=redis_server.uri, scope="twice") for rate in ("9/minute", "99/day")]
    handler = stack(limits, Inner())
    told = [asked(principal=principal("twice", limits="2/minute"))] * 3

    assert [200, 200, 429] == [drive(answered(each, handler)).status for each in told]


def test_functions_of_limits_in_redis_do_not_share_a_bucket(redis_server):
    """Each limit has a scope of its own."""
    first, second = (
        RateLimit("1/minute", by=by, storage=redis_server.uri, scope=scope)
        for scope, by in (("paths", lambda asked: asked.path), ("methods", lambda asked: asked.method))
    )
    alike = RateLimit("1/minute", by=lambda asked: "/", storage=redis_server.uri, scope="paths")

    assert ([200], [200], [429]) == (
        statuses(first, asked()),
        statuses(second, asked()),
        statuses(alike, asked()),
    )


@pytest.mark.parametrize("options", [{"by": len_of}, {"cost": len_of}])
def test_a_function_in_redis_needs_a_scope(options):
    """Nothing else tells it from another one."""
    with pytest.raises(ConfigurationError, match="scope='': accepts a name"):
        RateLimit("2/minute", storage="redis://nowhere.invalid", **options)
    RateLimit("2/minute", storage="memory://", **options)


async def of_request(asked):
    return "a"


class AsyncCall:
    async def __call__(self, asked):
        return "a"


@pytest.mark.parametrize("option", ["by", "cost", "exempt", "charge_when"])
@pytest.mark.parametrize("function", [of_request, partial(of_request), AsyncCall()])
def test_an_async_function_is_refused(option, function):
    """Its coroutine would be true, and name nobody."""
    with pytest.raises(ConfigurationError, match=f"{option}=.*: accepts a function that is not async"):
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
def test_an_app_that_raises_is_a_500(charge_when, expected, cost):
    """Its request is charged where an answer of 500 would be."""
    limit = RateLimit("1/minute", cost=cost, charge_when=charge_when)

    def raises(request):
        yield from ()
        for check in request.on_rows:
            yield from check(1)
        raise LookupError

    def outcome():
        try:
            return answer(limit, inner=raises).status
        except LookupError:
            return "raised"

    assert expected == [outcome() for _ in range(3)]


def test_what_can_never_fit_is_told_so():
    """413 with the most there may be, and no time to wait: a client would try again for nothing."""
    limit = RateLimit("100/day; 10/minute", cost=lambda request: 11)
    with pytest.raises(BatchTooLarge, match="no more than 10 pass at once") as info:
        drive(limit(asked(), Inner()))

    assert (413, 10, {}) == (info.value.status, info.value.limit, info.value.headers)


@pytest.mark.parametrize("cost", [-1, 1.5, None, True])
def test_a_cost_is_a_whole_number(cost):
    """A function that gives something else is at fault."""
    with pytest.raises(ValueError, match="cost gave"):
        drive(RateLimit("1/day", cost=lambda request: cost)(asked(), Inner()))


def test_the_drafts_fields_speak_of_all_windows():
    """On request, beside the others, and after a refusal."""
    limit = RateLimit("2/minute; 5/day", ietf_headers=True, clock=Clock())
    first, _, refused = (answer(limit) for _ in range(3))

    policy = '"5 per 1 day";q=5;w=86400, "2 per 1 minute";q=2;w=60'
    assert (policy, policy) == (first.header("ratelimit-policy"), refused.header("ratelimit-policy"))
    assert '"5 per 1 day";r=4;t=86400, "2 per 1 minute";r=1;t=60' == first.header("ratelimit")
    assert '"5 per 1 day";r=3;t=86400, "2 per 1 minute";r=0;t=60' == refused.header("ratelimit")
    assert None is answer(RateLimit("2/minute")).header("ratelimit")


def test_the_drafts_fields_of_two_limits_are_joined():
    """The one further in first."""
    outer, inner = (
        RateLimit(rate, ietf_headers=True, cost=cost)
        for rate, cost in (("9/day", len_of), ("5/minute", "request"))
    )
    told = drive(stack([outer, inner], Inner())(asked()))

    assert '"5 per 1 minute";q=5;w=60, "9 per 1 day";q=9;w=86400;qu="units"' == told.header(
        "ratelimit-policy"
    )
    assert ("5", "4") == (told.header("x-ratelimit-limit"), told.header("x-ratelimit-remaining"))


AGE = Schema.of(age=float)


def rows(count, column="age"):
    body = json.dumps({"input_data": [{column: 1}] * count}).encode()
    return request(body=body, headers={"content-type": "application/json"})


def by_rows(**options):
    """A limit by rows around an app whose rows are validated."""
    return stack([RateLimit(cost="rows", **options), Scored(Validate(AGE), predictions=None)], Inner())


@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_a_limit_by_rows(request, storage):
    """A batch is charged whole or not at all, and only once its rows have been checked."""
    uri = "memory://" if storage == "memory" else request.getfixturevalue("redis_server").uri
    handler = by_rows(rate="10/minute", storage=uri)
    told = [
        drive(answered(asked, handler)) for asked in (rows(4), rows(5, "wrong"), rows(7), rows(6), rows(1))
    ]

    assert [200, 400, 429, 200, 429] == [each.status for each in told]
    assert ["6", None, "6", "0", "0"] == [each.header("x-ratelimit-remaining") for each in told]


def test_a_batch_of_more_rows_than_ever_fit():
    """413 names the number."""
    told = drive(answered(rows(11), by_rows(rate="10/minute")))

    assert 413 == told.status
    assert b"The request has 11 rows" in told.body and b"send at most 10 rows a request" in told.body


def test_a_limit_by_rows_whose_answer_does_not_count():
    """The rows are given back."""
    handler = by_rows(rate="10/minute", charge_when=lambda response: response.status != 200)

    assert ["10"] * 3 == [drive(handler(rows(10))).header("x-ratelimit-remaining") for _ in range(3)]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_limit_by_rows_that_hears_of_none_says_so(method):
    """It would let everything pass: better that nothing does."""
    limit = RateLimit("10/minute", cost="rows")

    with pytest.raises(RuntimeError, match="nothing validates the rows"):
        drive(limit(request(method), Inner()))
    assert 404 == answer(limit, inner=Inner(NotFound())).status
    assert 200 == answer(limit, request("GET")).status


def failing(*, rate="2/minute", **options):
    """Failures limited around KeyAuth, and the inner handler."""
    inner = Inner()
    return stack([AuthFailures(rate, **options), KeyAuth({KEY: "*"})], inner), inner


def test_failed_authentication_is_limited_by_address():
    """Beyond the limit not even a good key is looked up; other addresses are untouched."""
    clock = Clock()
    handler, _ = failing(clock=clock)
    wrong, right = {"x_api_key": "wrong"}, {"x_api_key": KEY}
    told = [asked(**right), asked(**wrong), asked(), asked(**right), asked("192.0.2.2", **right)]
    answers = [drive(answered(each, handler)) for each in told]

    assert [200, 401, 401, 429, 200] == [each.status for each in answers]
    assert "60" == answers[3].header("retry-after")
    assert b"failed authentication" in answers[3].body
    clock.advance(60)
    assert 200 == drive(answered(asked(**right), handler)).status


def test_good_keys_are_not_counted():
    """However often they are used."""
    handler, inner = failing()
    for _ in range(100):
        drive(handler(asked(x_api_key=KEY)))

    assert 100 == len(inner.requests)


def test_the_failures_told_are_never_more_than_allowed():
    """Of those that fail at once, too: who is over the limit is not told that the key was wrong."""
    limit = AuthFailures("1/minute")

    def fails(request):
        # Another failed while this one was looked up.
        answer(limit, inner=Inner(Unauthorized()))
        raise Unauthorized
        yield

    assert 429 == answer(limit, inner=fails).status


@pytest.mark.parametrize("error", [KeyInactive("a", "revoked", "It is revoked"), InsufficientScope()])
@pytest.mark.parametrize("layers", [[], [RateLimit("9/minute")]])
def test_a_key_that_does_not_open_this_is_a_failure(error, layers):
    """Whether the error comes through, or a layer in between has made an answer of it."""
    handler = stack([AuthFailures("1/minute"), *layers], Inner(error))

    assert [403, 429] == [drive(answered(asked(), handler)).status for _ in range(2)]


def test_other_refusals_are_no_failed_authentication():
    """A deployment that is switched off, for one."""
    limit = AuthFailures("1/minute")

    assert [403] * 3 == statuses(limit, *[asked()] * 3, inner=Inner(DeploymentInactive()))
    assert [403] * 3 == statuses(limit, *[asked()] * 3, inner=Inner(Response(403)))


def test_an_app_s_own_401_is_counted():
    """Around an app that authenticates by itself."""
    limit = AuthFailures("1/minute")

    assert [401, 429] == statuses(limit, asked(), asked(), inner=Inner(Response(401)))


def test_a_proxy_that_is_not_known_is_not_locked_out(caplog):
    """Where nothing has been said of proxies, its callers' failures are counted, told, and not refused."""
    _warn.cache_clear()
    handler, _ = failing(rate="1/minute", spare_forwarded=True)
    forwarded = {"x_forwarded_for": "203.0.113.9"}
    told = [asked(x_api_key="wrong", **forwarded)] * 3 + [
        asked(x_api_key=KEY, **forwarded),
        asked(x_api_key=KEY),
    ]

    assert [401, 401, 401, 200, 429] == [drive(answered(each, handler)).status for each in told]
    assert ["trusted_proxies=[…]" in record.getMessage() for record in caplog.records] == [True]


def test_concurrency():
    """A caller has so many requests in flight, and one more when one of them is over."""
    limit = Concurrency(2)
    first, second, third, other = (asked(principal=who) for who in (A, A, A, B))

    assert [200, 200, 429, 200] == statuses(limit, first, second, third, other)
    first.close()
    again = answer(limit, asked(principal=A))
    assert 200 == again.status
    for each in (second, other):
        each.close()


def test_concurrency_keeps_nothing_of_who_is_gone():
    """Memory is bounded by what is in flight."""
    limit = Concurrency(1, by="address")
    told = asked()
    refused = [answer(limit, each) for each in (told, asked())][1]
    told.close()

    assert (429, "1") == (refused.status, refused.header("retry-after"))
    assert {} == limit._in_flight


def test_trusted_proxies_say_who_asks(wrap):
    """Everything within counts by that address."""
    app = wrap(TrustedProxies(["192.0.2.0/24"]), RateLimit("1/minute"))
    told = [Client(app, headers={"x-forwarded-for": f"203.0.113.{at}"}) for at in (1, 2, 1)]
    stranger = Client(app, address="198.51.100.1", headers={"x-forwarded-for": "203.0.113.3"})

    assert [200, 200, 429] == [client.get("/").status for client in told]
    assert [200, 429] == [stranger.get("/").status for _ in range(2)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rate": "5 per fortnite"}, "'fortnite' is no unit"),
        ({"by": "color"}, "by='color': accepts caller, key, owner, address, deployment, header:NAME"),
        ({"by": "header:"}, "by='header:'"),
        ({"by": ["key"]}, "by="),
        ({"cost": "bytes"}, "cost='bytes': accepts request, rows"),
        ({"strategy": "rolling"}, "strategy='rolling': accepts fixed, sliding, moving"),
        ({"storage": "memcached://x"}, 'storage: accepts "memory://"'),
        ({"storage": None}, 'storage: accepts "memory://"'),
        ({"fail": "open"}, "fail='open': accepts local or closed"),
        ({"rate": "5/999999999 year"}, "'5/999999999 year' lasts for more than 10 years"),
        ({"rate": "1 per 11 years"}, "lasts for more than 10 years"),
        ({"scope": None}, "scope=None: accepts text"),
        ({"scope": 7, "storage": "redis://nowhere.invalid"}, "scope=7: accepts text"),
        ({"processes": 0}, "processes=0: accepts a whole number from 1"),
        ({"exempt": "key"}, "exempt='key': accepts a function"),
        ({"charge_when": 200}, "charge_when=200: accepts a function"),
    ],
)
def test_an_option_that_cannot_work_is_refused(options, named):
    """At construction, by its name."""
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        RateLimit(**options)


@pytest.mark.parametrize("limit", [0, True, "2"])
def test_a_cap_is_a_whole_number(limit):
    """From one."""
    with pytest.raises(ConfigurationError, match="limit="):
        Concurrency(limit)


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
def test_workers_that_can_be_seen(environ, argv, workers):
    """In the environment, and in what a known server was told."""

    assert workers == visible_workers(environ, argv)


def test_memory_of_several_workers_is_warned_of(monkeypatch, caplog):
    """Once, when the app starts, with the remedy; not where the counts are shared."""
    _warn_of_workers.cache_clear()
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    RateLimit("1/day")
    RateLimit("1/day")

    assert 1 == len(caplog.records)
    assert "each of 4 workers" in caplog.text and 'storage="redis://…"' in caplog.text
