"""Requests and responses, as the layers see them."""

import msgspec
import pytest

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
    PLAIN,
    BodyMeter,
    Request,
    Response,
    answered,
    error_response,
    head_credentials,
    token_of,
)
from modelgate.http.bodies import json_body, require_json
from modelgate.testing import Inner, request

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
def test_the_key_in_the_header_fields(headers, key):
    """A bearer token of any case or x-api-key, and nothing else, is the key."""

    assert key == head_credentials(request(headers=headers))
    assert key == drive(PLAIN.credentials(request(headers=headers)))


@pytest.mark.parametrize("token", ["other", "", KEY + "x", KEY.upper()])
def test_two_different_keys_are_refused(token):
    """Which of two keys counts is not for the server to guess."""
    with pytest.raises(ConflictingCredentials):
        head_credentials(request(headers={**BOTH, "authorization": f"Bearer {token}"}))


@pytest.mark.parametrize(
    ("told", "key"),
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
def test_the_key_under_other_schemes(told, key):
    """A scheme that is not asked for holds no key, and what cannot be read is a key nobody has."""
    asked = request(headers={} if told is None else {"authorization": told})

    assert key == token_of(asked, ("token", "basic"))


@pytest.mark.parametrize(
    ("told", "length"), [(None, None), ("", None), ("0", 0), ("42", 42), ("007", 7), ("9" * 19, 10**19 - 1)]
)
def test_a_content_length_is_read(told, length):
    """Digits are a length; none told is None."""
    headers = {} if told is None else {"content-length": told}

    assert length == request(headers=headers).content_length


@pytest.mark.parametrize("told", ["+5", "-5", "1_0", " 5", "5.0", "0x5", "٣", "²", "5, 5", "1" * 30, "five"])
def test_what_is_no_content_length_is_refused(told):
    """RFC 9110 has ASCII digits only."""
    with pytest.raises(MalformedBody, match="Content-Length"):
        _ = request(headers={"content-length": told}).content_length


def test_a_body_is_read_once():
    """What has been read is kept."""
    asked = request(body=b"body")
    first = drive(asked.read())
    asked._content = b"another"

    assert first is drive(asked.read())
    assert b"body" == first


@pytest.mark.parametrize("method", ["_read", "_aread"])
def test_reading_belongs_to_the_mounts(method):
    """A bare request has no body to read."""
    with pytest.raises(NotImplementedError):
        getattr(Request("GET", "/", {}), method)()


def test_deferred_calls_are_made_once():
    """What waits for the end of a request is called once, the last first, however often it is closed."""
    asked, log = request(), []
    asked.defer(lambda: log.append("first"))
    asked.defer(lambda: log.append("second"))

    assert [] == log
    asked.close()
    asked.close()
    assert ["second", "first"] == log


def test_a_request_without_deferred_calls_closes():
    """Nothing deferred, nothing called."""

    assert request().close() is None


def test_a_failing_deferred_call_keeps_none_from_the_others():
    """Every deferred call is made: an Admission slot that is not given back is lost for good."""
    asked, log = request(), []

    def fail():
        raise KeyError("deferred")

    asked.defer(lambda: log.append("given back"))
    asked.defer(fail)
    with pytest.raises(KeyError):
        asked.close()

    assert ["given back"] == log


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
def test_the_status_line_always_has_a_phrase(response, line):
    """The standard phrase, the one given, or one that says at least which kind it is."""

    assert line == response.status_line


def test_set_replaces_every_field_of_the_name():
    """One field stays, whatever its case and however many there were."""
    response = Response(200, headers=[("X-A", "1"), ("x-b", "2"), ("x-a", "3")])
    response.set("x-a", "4")

    assert [("x-b", "2"), ("x-a", "4")] == response.headers


@pytest.mark.parametrize(("name", "value"), [("x-a", "1"), ("x-b", "2"), ("x-c", None)])
def test_a_field_is_found_whatever_its_case(name, value):
    """The first field of the name counts."""

    assert value == Response(200, headers=[("X-A", "1"), ("x-b", "2"), ("x-a", "3")]).header(name)


def test_responses_do_not_share_their_fields():
    """A list of fields given to two responses is not changed through one of them."""
    fields = [("x-a", "1")]
    Response(200, headers=fields).set("x-a", "2")

    assert [("x-a", "1")] == fields


@pytest.mark.parametrize(
    "told",
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
def test_json_passes_for_json(told):
    """Every kind of JSON passes, and a body that says nothing."""

    assert require_json(request(headers={} if told is None else {"content-type": told})) is None


@pytest.mark.parametrize(
    "told", ["text/plain", "application/jsonp", "text/csv", "; charset=utf-8", "json", "*/*"]
)
def test_another_kind_is_refused(told):
    """The answer says what would be read."""
    with pytest.raises(UnsupportedMediaType) as info:
        require_json(request(headers={"content-type": told}))

    assert {"accept": "application/json"} == info.value.headers


def test_json_body_reads_and_decodes():
    """The body of a request, decoded; another kind is refused before it is read."""
    decoder = msgspec.json.Decoder(dict[str, int])
    refused = request(body=b'{"a": 1}', headers={"content-type": "text/csv"})

    assert {"a": 1} == drive(json_body(request(body=b'{"a": 1}'), decoder))
    with pytest.raises(UnsupportedMediaType):
        drive(json_body(refused, decoder))
    assert refused.body_read is None


def members(response):
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
def test_errors_tell_their_details_and_serving_errors_the_request_id(error, expected):
    """Only the server's fault names the request: its caller cannot mend it and must ask."""
    asked = request()
    asked.id = "id-1"
    response = error_response(asked, error)

    assert expected == members(response)
    assert error.status == response.status
    assert "application/json" == response.header("content-type")


def test_a_wire_format_has_words_of_its_own():
    """They stand where the error does, and the details beside them."""
    response = error_response(request(), NotFound(details={"a": 1}), {"code": 5, "text": "Nothing"})

    assert {"code": 5, "text": "Nothing", "a": 1} == members(response)


def test_a_serving_error_without_request_id_names_none():
    """No id, no member."""

    assert "request_id" not in members(error_response(request(), ServingError()))


@pytest.mark.parametrize("error", [Overloaded(3), RateLimitExceeded("1/minute", 3)])
def test_an_error_brings_its_headers(error):
    """Retry-After and the like are sent."""

    assert "3" == error_response(request(), error).header("retry-after")


def test_answered_makes_a_response_of_an_error():
    """A layer that touches every answer sees refusals as answers too."""

    assert 404 == drive(answered(request(), Inner(NotFound()))).status
    assert 200 == drive(answered(request(), Inner())).status
    with pytest.raises(KeyError):
        drive(answered(request(), Inner(KeyError("a bug"))))


@pytest.mark.parametrize("limit", [None, 4, 5])
def test_a_meter_lets_a_body_within_its_limit_pass(limit):
    """Up to the limit every chunk comes back as it is."""
    meter = BodyMeter(limit)

    assert [b"ab", b"", b"cd"] == [meter.count(chunk) for chunk in (b"ab", b"", b"cd")]
    assert (4, False) == (meter.seen, meter.exceeded)


def test_a_meter_refuses_the_byte_beyond_its_limit():
    """The chunk that goes over is refused, and the meter remembers."""
    meter = BodyMeter(3)
    meter.count(b"abc")
    with pytest.raises(BodyTooLarge) as info:
        meter.count(b"d")

    assert 3 == info.value.limit
    assert meter.exceeded


def test_what_was_deferred_is_called_when_the_request_is_over():
    """The last one first, each once, though one of them raises; that one is called again by the next close."""
    over, called = request(), []
    failing = iter([ValueError("it failed")])

    def fails():
        called.append("fails")
        for error in failing:
            raise error

    over.defer(lambda: called.append("first"))
    over.defer(fails)
    over.defer(lambda: called.append("last"))
    with pytest.raises(ValueError, match="it failed"):
        over.close()
    over.close()
    over.close()

    assert ["last", "fails", "first", "fails"] == called
