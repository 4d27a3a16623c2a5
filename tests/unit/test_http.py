"""HTTP requests, responses and credentials."""

import msgspec
import pytest

from modelgate import RateLimit, RequestContext
from modelgate.codecs.key_checksum import checksum
from modelgate.errors import (
    BodyTooLarge,
    ConflictingCredentials,
    MalformedBody,
    MissingColumns,
    NotFound,
    Overloaded,
    PredictionError,
    RateLimitExceeded,
    ServingError,
    UnsupportedMediaType,
)
from modelgate.flow import drive
from modelgate.http import (
    PLAIN_JSON,
    BodySizeLimiter,
    Request,
    Response,
    call_encoding_errors,
    credentials_from_headers,
    error_response,
    parse_authorization,
)
from modelgate.http.body import read_json, read_json_body
from modelgate.http.credentials import is_json_web_token
from modelgate.testing import StubHandler, request

KEY = "k" * 16
BOTH = {"authorization": f"Bearer {KEY}", "x-api-key": KEY}


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": f"Bearer {KEY}"}, KEY),
        ({"authorization": f"bearer {KEY}"}, KEY),
        ({"authorization": f"BEARER   {KEY} "}, KEY),
        ({"x-api-key": KEY}, KEY),
        (BOTH, KEY),
        ({"authorization": "Basic dXNlcjpwYXNz"}, None),
        ({"authorization": "Basic dXNlcjpwYXNz", "x-api-key": KEY}, KEY),
        ({"authorization": KEY}, None),
        ({"authorization": f"Bearer{KEY}"}, None),
        ({"authorization": "Bearer"}, ""),
    ],
)
def test_credentials_from_headers(headers, key):
    assert key == credentials_from_headers(headers)
    assert key == drive(PLAIN_JSON.credentials(request(headers=headers)))


@pytest.mark.parametrize("token", ["other", "", KEY + "x", KEY.upper()])
def test_credentials_from_headers_rejects_two_different_keys(token):
    with pytest.raises(ConflictingCredentials):
        credentials_from_headers({**BOTH, "authorization": f"Bearer {token}"})


OURS = ["mg_live_0123456789abcdefghijklmnop", "acme_0123456789abcdefghijklmnop"]
OURS = [f"{body}_{checksum(body)}" for body in OURS]
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lhcC5leGFtcGxlIn0.c2lnbmF0dXJl"
JWE = "eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVy.dGFn"


@pytest.mark.parametrize(
    ("key", "token", "expected"),
    [
        (OURS[0], JWT, OURS[0]),
        (OURS[0], "ya29.an-opaque-token", OURS[0]),
        (OURS[0], OURS[0][:-1] + "-", OURS[0]),
        (OURS[0], "", OURS[0]),
        (OURS[0], KEY, OURS[0]),
        ("of-the-platform", OURS[0], OURS[0]),
        (KEY, JWT, KEY),
        (KEY, JWE, KEY),
        (JWT, KEY, KEY),
        (OURS[0], OURS[1], None),
        (KEY, "ya29.an-opaque-token", None),
        (JWT, JWE, None),
    ],
)
def test_tokens_of_platforms_do_not_contradict_keys(key, token, expected):
    """Generated keys have a checksum. Keys in a mapping can have any form, so that only a JWT differs from them."""
    headers = {"x-api-key": key, "authorization": f"Bearer {token}"}
    if expected is None:
        with pytest.raises(ConflictingCredentials):
            credentials_from_headers(headers)
    else:
        assert expected == credentials_from_headers(headers)


@pytest.mark.parametrize(
    "text", ["", "eyJ", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30", f"{JWT} ", f"{JWE}.a", "eyJé.a.b"]
)
def test_other_texts_are_no_json_web_tokens(text):
    assert not is_json_web_token(text)
    assert all(map(is_json_web_token, (JWT, JWE, f"{JWT.rpartition('.')[0]}.")))


@pytest.mark.parametrize(
    ("authorization", "key"),
    [
        (None, None),
        ("", None),
        ("Bearer a", None),
        ("AWS4-HMAC-SHA256 Credential=a", None),
        ("Token a", "a"),
        ("token   a ", "a"),
        ("Token", ""),
        ("Basic dXNlcjpwYTpzcw==", "pa:ss"),
        ("BASIC  OnBhc3M= ", "pass"),
        ("Basic dXNlcg==", ""),
        ("Basic not base64", ""),
        ("Basic é", ""),
        ("Basic /w==", ""),
        ("Basic dXNlcjpwYTpzcw==, Basic dXNlcjpwYTpzcw==", ""),
    ],
)
def test_parse_authorization_of_other_schemes(authorization, key):
    """Unreadable credentials are an empty key, which matches no key record."""
    headers = {} if authorization is None else {"authorization": authorization}

    assert key == parse_authorization(headers, ("token", "basic"))


@pytest.mark.parametrize(
    ("value", "length"), [(None, None), ("", None), ("0", 0), ("42", 42), ("007", 7), ("9" * 19, 10**19 - 1)]
)
def test_content_length(value, length):
    headers = {} if value is None else {"content-length": value}

    assert length == request(headers=headers).content_length


@pytest.mark.parametrize("value", ["+5", "-5", "1_0", " 5", "5.0", "0x5", "٣", "²", "5, 5", "1" * 30, "five"])
def test_content_length_accepts_only_ascii_digits(value):
    with pytest.raises(MalformedBody, match="Content-Length"):
        _ = request(headers={"content-length": value}).content_length


def test_request_reads_its_body_once():
    request_ = request(body=b"body")
    first = drive(request_.read())
    request_._content = b"another"

    assert first is drive(request_.read())
    assert b"body" == first


def test_request_has_a_context_of_its_own():
    """Layers read it, also for a request that an app builds by hand."""
    by_hand, another = Request("GET", "/", {}), Request("GET", "/", {})
    response = drive(RateLimit("1/day")(by_hand, StubHandler()))

    assert "0" == response.header("x-ratelimit-remaining")
    assert isinstance(by_hand.context, RequestContext)
    assert by_hand.context is not another.context


@pytest.mark.parametrize("method", ["_read", "_aread"])
def test_request_without_mount_has_no_body(method):
    with pytest.raises(NotImplementedError):
        getattr(Request("GET", "/", {}), method)()


def test_close_calls_callbacks_once():
    """The last one is called first."""
    request_, log = request(), []
    request_.on_close.append(lambda: log.append("first"))
    request_.on_close.append(lambda: log.append("second"))

    assert [] == log
    request_.close()
    request_.close()
    assert ["second", "first"] == log


def test_close_without_callbacks():
    assert request().close() is None


def test_close_calls_the_other_callbacks_after_an_error():
    request_, log = request(), []

    def fail():
        raise KeyError("callback")

    request_.on_close.append(lambda: log.append("released"))
    request_.on_close.append(fail)
    with pytest.raises(KeyError):
        request_.close()

    assert ["released"] == log


@pytest.mark.parametrize(
    ("response", "line"),
    [
        (Response(200), "200 OK"),
        (Response(404), "404 Not Found"),
        (Response(480), "480 Error"),
        (Response(299), "299 OK"),
        (Response(599), "599 Error"),
        (Response(200, reason="Fine"), "200 Fine"),
        (Response(200, reason=""), "200 "),
    ],
)
def test_status_line_always_has_a_phrase(response, line):
    assert line == response.status_line


def test_set_replaces_all_fields_of_a_name():
    response = Response(200, headers=[("X-A", "1"), ("x-b", "2"), ("x-a", "3")])
    response.set("x-a", "4")

    assert [("x-b", "2"), ("x-a", "4")] == response.headers


@pytest.mark.parametrize(("name", "value"), [("x-a", "1"), ("x-b", "2"), ("x-c", None)])
def test_header_ignores_case(name, value):
    """The first field of a name counts."""

    assert value == Response(200, headers=[("X-A", "1"), ("x-b", "2"), ("x-a", "3")]).header(name)


def test_response_copies_its_headers():
    fields = [("x-a", "1")]
    Response(200, headers=fields).set("x-a", "2")

    assert [("x-a", "1")] == fields


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json ;x=y",
        "text/json",
        "application/vnd.api+json",
        "application/problem+JSON; a=b",
        'application/json; charset="UTF8"',
    ],
)
def test_read_json_body_accepts_json(content_type):
    headers = {} if content_type is None else {"content-type": content_type}

    assert b"1" == drive(read_json_body(request(body=b"1", headers=headers)))


@pytest.mark.parametrize(
    "content_type",
    ["application/jsonp", "text/csv", "; charset=utf-8", "json", "*/*", "text/plain; charset=utf-16"],
)
def test_read_json_body_rejects_other_media_types(content_type):
    """The response names the accepted one."""
    with pytest.raises(UnsupportedMediaType) as info:
        drive(read_json_body(request(body=b"[1]", headers={"content-type": content_type})))

    assert info.value.headers["accept"].startswith("application/json")


@pytest.mark.parametrize("content_type", ["text/plain", "Text/Plain;charset=UTF-8"])
def test_read_json_body_accepts_plain_text_that_is_an_object_or_array(content_type):
    """As `fetch` in a browser sends a string."""
    headers = {"content-type": content_type}
    for body in (b'{"a": 1}', b" \n[1"):
        assert body == drive(read_json_body(request(body=body, headers=headers)))
    for body in (b"", b"a,b\n1,2\n", b'"[1]"'):
        with pytest.raises(UnsupportedMediaType):
            drive(read_json_body(request(body=body, headers=headers)))


def test_read_json_body_accepts_further_media_types():
    headers = {"content-type": "application/x-www-form-urlencoded"}

    assert b"[1]" == drive(
        read_json_body(request(body=b"[1]", headers=headers), "application/x-www-form-urlencoded")
    )


def test_read_json():
    """A body of another media type is not read."""
    decoder = msgspec.json.Decoder(dict[str, int])
    other = request(body=b'{"a": 1}', headers={"content-type": "text/csv"})

    assert {"a": 1} == drive(read_json(request(body=b'{"a": 1}'), decoder))
    with pytest.raises(UnsupportedMediaType):
        drive(read_json(other, decoder))
    assert other.body_read is None


def decode_body(response):
    return msgspec.json.decode(response.body)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotFound(), {"error": "Not found"}),
        (NotFound("Gone", details={"a": 1}), {"error": "Gone", "a": 1}),
        (
            MissingColumns(["a"], {"b": "must be text"}),
            {
                "error": "Prediction failed due to missing input data",
                "missing_columns": ["a"],
                "errors": {"b": "must be text"},
            },
        ),
        (
            ServingError(),
            {"error": "An unexpected error occurred on the server", "request_id": "id-1"},
        ),
        (PredictionError(), {"error": "The model failed to score this request", "request_id": "id-1"}),
    ],
)
def test_error_response_members(error, expected):
    """Only errors of the server have the request id."""
    response = error_response(error, "id-1")

    assert expected == decode_body(response)
    assert error.status == response.status
    assert "application/json" == response.header("content-type")


def test_error_response_with_other_message_members():
    response = error_response(NotFound(details={"a": 1}), None, {"code": 5, "text": "Nothing"})

    assert {"code": 5, "text": "Nothing", "a": 1} == decode_body(response)


def test_error_response_without_request_id():
    assert "request_id" not in decode_body(error_response(ServingError()))


@pytest.mark.parametrize("error", [Overloaded(3), RateLimitExceeded("1/minute", 3)])
def test_error_response_has_the_headers_of_the_error(error):
    assert "3" == error_response(error).header("retry-after")


def test_call_encoding_errors():
    """Errors that are not meant for callers propagate."""

    assert 404 == drive(call_encoding_errors(request(), StubHandler(NotFound()))).status
    assert 200 == drive(call_encoding_errors(request(), StubHandler())).status
    with pytest.raises(KeyError):
        drive(call_encoding_errors(request(), StubHandler(KeyError("a bug"))))


@pytest.mark.parametrize("limit", [None, 4, 5])
def test_body_size_limiter_accepts_bodies_up_to_its_limit(limit):
    limiter = BodySizeLimiter(limit)

    assert [b"ab", b"", b"cd"] == [limiter.count(chunk) for chunk in (b"ab", b"", b"cd")]
    assert (4, False) == (limiter.received, limiter.exceeded)


def test_body_size_limiter_rejects_bodies_above_its_limit():
    limiter = BodySizeLimiter(3)
    limiter.count(b"abc")
    with pytest.raises(BodyTooLarge) as info:
        limiter.count(b"d")

    assert 3 == info.value.limit
    assert limiter.exceeded


def test_close_retries_only_callbacks_that_failed():
    request_, called = request(), []
    failing = iter([ValueError("it failed")])

    def fails():
        called.append("fails")
        for error in failing:
            raise error

    request_.on_close.append(lambda: called.append("first"))
    request_.on_close.append(fails)
    request_.on_close.append(lambda: called.append("last"))
    with pytest.raises(ValueError, match="it failed"):
        request_.close()
    request_.close()
    request_.close()

    assert ["last", "fails", "first", "fails"] == called
