"""What every mount answers to a request that cannot be scored."""

import logging

import pytest

from modelgate import ConcurrencyLimit, RateLimit
from support.keys import KEY, OTHER_KEY
from support.mounts import Mounted, make_gate

ROW = b'{"alcohol": 13.2, "malic_acid": 1.78, "hue": 1.05, "colour": "medium"}'


def build_body(row):
    return b'{"api_key": "%s", "input_data": %s}' % (KEY.encode(), row)


BAD_BODIES = {
    "none": b"",
    "broken": b'{"api_key": ',
    "trailing": build_body(ROW) + b"x",
    "an array": b"[1, 2]",
    "a text": b'"hello"',
    "a number": b"1",
    "null": b"null",
    "not utf-8": build_body(b'{"colour": "\xff\xfe"}'),
    "not utf-8 in a member nobody reads": build_body(ROW)[:-1] + b', "note": "\xff"}',
    "utf-16": build_body(ROW).decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + build_body(ROW),
    "NaN": build_body(ROW.replace(b"13.2", b"NaN")),
    "infinity": build_body(ROW.replace(b"13.2", b"-Infinity")),
    "1e400": build_body(ROW.replace(b"13.2", b"1e400")),
    "400 digits": build_body(ROW.replace(b"13.2", b"9" * 400)),
    "5000 digits": build_body(ROW.replace(b"13.2", b"9" * 5000)),
    "hexadecimal": build_body(ROW.replace(b"13.2", b"0x1F")),
    "lone surrogate": build_body(ROW.replace(b"medium", b"\\ud800")),
    "deep value": build_body(ROW.replace(b"13.2", b"[" * 500 + b"]" * 500)),
    "deep open value": build_body(ROW.replace(b"13.2", b"[" * 100_000)),
    "deep unknown column": build_body(ROW[:-1] + b', "zz": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}"),
    "deep unknown member": build_body(ROW)[:-1] + b', "zz": ' + b"[" * 500 + b"]" * 500 + b"}",
    "deeper unknown member": build_body(ROW)[:-1] + b', "zz": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a column twice": build_body(ROW[:-1] + b', "hue": 1.05}'),
    "a key twice": build_body(ROW)[:-1] + b', "api_key": "%s"}' % KEY.encode(),
    "no input_data": b'{"api_key": "%s"}' % KEY.encode(),
    "input_data is a text": build_body(b'"row"'),
    "input_data is null": build_body(b"null"),
    "rows are numbers": build_body(b"[1, 2]"),
    "a row is an array": build_body(b"[[13.2, 1.78]]"),
    "a number is a text": build_body(ROW.replace(b"13.2", b'"13.2"')),
    "a number is null": build_body(ROW.replace(b"13.2", b"null")),
    "a text is a number": build_body(ROW.replace(b'"medium"', b"3")),
    "an unknown level": build_body(ROW.replace(b"medium", b"Medium")),
    "an object": build_body(ROW.replace(b"13.2", b"{}")),
}


@pytest.mark.slow
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_malformed_bodies_are_rejected(mounted, body):
    """In the dialect's form; the connection still works for the next request."""
    answer = mounted.post("/api/predict", body=body, headers={"content-type": "application/json"})
    after = mounted.post("/api/predict", body=build_body(ROW))

    assert answer.status == 400
    assert answer.header("content-type") == "application/json"
    assert answer.json()["error"]
    assert after.status == 200


def test_missing_columns_are_named(mounted):
    """In the order of the model, together with wrong values."""
    answer = mounted.predict({"hue": "red", "extra": 1})

    assert answer.status == 400
    assert answer.json() == {
        "error": "Prediction failed due to missing input data",
        "missing_columns": ["alcohol", "malic_acid", "colour"],
        "errors": {"hue": "must be a number"},
    }


def test_wrong_values_are_named_by_column(mounted, wine_row):
    """The values are not echoed."""
    answer = mounted.predict({**wine_row, "alcohol": "s3cret", "colour": "s3cret"})

    assert answer.status == 400
    assert answer.json()["errors"] == {
        "alcohol": "must be a number",
        "colour": "must be one of deep, light, medium",
    }
    assert b"s3cret" not in answer.body


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/x-www-form-urlencoded", "application/pickle", "a"]
)
def test_content_type_other_is_rejected(mounted, content_type):
    """The error lists the accepted types."""
    answer = mounted.post("/api/predict", body=build_body(ROW), headers={"content-type": content_type})

    assert (answer.status, answer.header("accept")) == (415, "application/json")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "APPLICATION/JSON", "text/json", "application/vnd.x+json"],
)
def test_content_type_json_spellings(mounted, content_type):
    answer = mounted.post("/api/predict", body=build_body(ROW), headers={"content-type": content_type})

    assert answer.status == 200


@pytest.mark.parametrize("path", ["/api/predict", "/predApi/v1.0/deployments/wine/predictions"])
def test_content_type_with_other_charset_is_rejected(mounted, path):
    """JSON is UTF-8 in every dialect."""
    answer = mounted.post(
        path,
        body=build_body(ROW),
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json; charset=utf-16"},
    )

    assert (answer.status, answer.header("accept")) == (415, "application/json;charset=utf-8")


def test_body_limit_by_content_length(mounted):
    """1 MiB."""
    answer = mounted.post("/api/predict", body=build_body(ROW) + b" " * 1024 * 1024)

    assert (answer.status, list(answer.json())) == (413, ["error"])


def test_body_limit_while_streaming(mounted):
    """1 MiB, without a Content-Length."""
    answer = mounted.post("/api/predict", body=[build_body(ROW)] + [b" " * 65536] * 17)

    assert (answer.status, list(answer.json())) == (413, ["error"])


@pytest.mark.parametrize("length", ["-1", "+5", "1_0", "abc", "9" * 30])
def test_content_length_must_be_a_number(mounted, length):
    answer = mounted.post("/api/predict", body=b"{}", headers={"content-length": length})

    assert answer.status == 400


def test_content_length_larger_than_the_body(mount, wine):
    mounted = Mounted(mount, make_gate(wine))
    length = str(len(build_body(ROW)) + 5)
    answer = mounted.post("/api/predict", body=[build_body(ROW)[:-5]], headers={"content-length": length})

    assert answer.status == 400


class TestKeys:
    def test_none(self, mounted, wine_row):
        """Without a key the answer is a 401 with a challenge that names no error."""
        answer = mounted.post("/api/predict", json={"input_data": wine_row})

        assert answer.status == 401
        assert answer.json()["error"].startswith("Missing API key")
        assert answer.header("www-authenticate") == 'Bearer realm="modelgate"'

    @pytest.mark.parametrize(
        "key", ["wrong", KEY[:-1], KEY + KEY, "", "é", "\0", "k" * 60_000, 7, None, [KEY], {}]
    )
    def test_unknown_key_is_401(self, mounted, wine_row, key):
        answer = mounted.predict(wine_row, key)

        assert answer.status == 401
        assert answer.header("www-authenticate").startswith("Bearer realm=")

    @pytest.mark.parametrize(
        "headers",
        [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bEaReR  {KEY}"}, {"x-api-key": KEY}],
    )
    def test_key_in_header(self, mounted, wine_row, headers):
        answer = mounted.post("/api/predict", json={"input_data": wine_row}, headers=headers)

        assert answer.status == 200

    def test_key_in_path(self, mounted, wine_row):
        assert mounted.post(f"/api/predict/{KEY}", json={"input_data": wine_row}).status == 200

    def test_key_sent_several_times(self, mounted, wine_row):
        """The same key in several places is not a conflict."""
        headers = {"authorization": f"Bearer {KEY}", "x-api-key": KEY}
        body = {"api_key": KEY, "input_data": wine_row}

        assert mounted.post(f"/api/predict/{KEY}", json=body, headers=headers).status == 200

    @pytest.mark.parametrize(
        ("path", "headers", "body"),
        [
            ("", {"x-api-key": KEY}, {"api_key": OTHER_KEY}),
            (f"/{KEY}", {}, {"api_key": OTHER_KEY}),
            (f"/{KEY}", {"x-api-key": OTHER_KEY}, {}),
            ("", {"x-api-key": KEY, "authorization": f"Bearer {OTHER_KEY}"}, {}),
        ],
    )
    def test_two_keys_are_a_conflict(self, mounted, wine_row, path, headers, body):
        """Although both are valid."""
        answer = mounted.post("/api/predict" + path, json={"input_data": wine_row, **body}, headers=headers)

        assert (answer.status, answer.json()["error"]) == (400, "Two different API keys were sent: send one")

    def test_wrong_key_is_rejected_before_reading_the_body(self, mounted):
        answer = mounted.post("/api/predict", body=b"not JSON", headers={"x-api-key": "wrong"})

        assert answer.status == 401

    def test_for_another_deployment(self, mounted, wine_row):
        """A key is no use for a deployment that is not its own."""
        answer = mounted.predict(wine_row, KEY, deployment="double")

        assert answer.status == 403

    def test_unknown_deployment_looks_like_a_foreign_one(self, mounted, wine_row):
        """Without rights to it, a deployment that is and one that is not look the same."""
        foreign = mounted.predict(wine_row, KEY, deployment="double")
        unknown = mounted.predict(wine_row, KEY, deployment="no-such-thing")

        assert (foreign.status, foreign.body) == (unknown.status, unknown.body)


def test_paused_deployment_is_403(mounted):
    assert mounted.predict({"x0": 1}, OTHER_KEY, deployment="paused").status == 403


def test_removed_deployment_is_404(mounted):
    assert mounted.predict({"x0": 1}, OTHER_KEY, deployment="vanished").status == 404


def test_key_for_several_deployments_must_name_one(mounted):
    """The error lists those of the key."""
    answer = mounted.predict({"amount": 1}, OTHER_KEY)

    assert answer.status == 400
    assert "double, triple, panic, broken, paused, vanished" in answer.json()["error"]


def test_rate_limit_is_429_with_retry_after(mount, wine, wine_row):
    mounted = Mounted(mount, make_gate(wine, limits="2/minute"))
    first, _, refused = (mounted.predict(wine_row) for _ in range(3))

    assert (first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")) == ("2", "1")
    assert (refused.status, refused.header("x-ratelimit-remaining")) == (429, "0")
    assert 1 <= int(refused.header("retry-after")) <= 60
    assert "Rate limit" in refused.json()["error"]


def test_rate_limit_counts_rejected_input(mount, wine, wine_row):
    """The error response has the headers of the limit."""
    mounted = Mounted(mount, make_gate(wine, limits="2/minute"))
    answer = mounted.predict({})

    assert (answer.status, answer.header("x-ratelimit-remaining")) == (400, "1")


def test_model_error_is_500_with_request_id(mounted, caplog):
    """The model's exception is only logged."""
    with caplog.at_level(logging.ERROR, "modelgate"):
        answer = mounted.predict({"x0": 1}, OTHER_KEY, deployment="broken")

    assert answer.status == 500
    assert answer.header("x-request-id") == answer.json()["request_id"]
    assert b"recipe" not in answer.body
    assert "the secret recipe is missing" in caplog.text
    assert answer.json()["request_id"] in caplog.text
    assert OTHER_KEY not in caplog.text


@pytest.mark.parametrize("error", ["CancelledError", "SystemExit", "GeneratorExit"])
def test_model_error_can_be_a_base_exception(mounted, error):
    """Such as a panic of an extension module."""
    answer = mounted.predict({"error": error}, OTHER_KEY, deployment="panic")
    after = mounted.predict({"amount": 1}, OTHER_KEY, deployment="double")

    assert (500, 200) == (answer.status, after.status)
    assert answer.header("x-request-id") == answer.json()["request_id"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"api_key": "%s"}', "input_data is missing: send an object of feature names and values"),
        (b'{"api_key": "%s", "input_data": 5}', "input_data must be an object of feature names and values"),
        (b'{"api_key": "%s", "input_data": {}, "deployment": 5}', "deployment must be text"),
    ],
)
def test_input_data_errors_tell_missing_from_invalid(mounted, body, message):
    error = mounted.post("/api/predict", body=body % KEY.encode()).json()["error"]

    assert message == error.partition(". Example")[0]


def test_key_other_than_text_is_invalid(mounted):
    assert {"error": "Invalid API key"} == mounted.predict({}, 7).json()


def test_row_limit_is_checked_before_the_rows(mounted):
    rows = [{} for _ in range(10_001)]
    answer = mounted.predict(rows, OTHER_KEY, deployment="double")

    assert (400, "10001 rows are more than the limit of 10000 per request: send fewer rows") == (
        answer.status,
        answer.json()["error"],
    )


def test_rate_limit_by_rows_charges_whole_batches(mount, wine, wine_row):
    """A batch larger than the limit is a 413 that names the maximum."""
    limits = [RateLimit("9/minute"), RateLimit("5/minute; 9/day", cost="rows")]
    mounted = Mounted(mount, make_gate(wine, limits=limits))
    answers = [mounted.predict([wine_row] * rows) for rows in (3, 3, 2, 6)]

    assert [200, 429, 200, 413] == [answer.status for answer in answers]
    assert ["2", "2", "0"] == [answer.header("x-ratelimit-remaining") for answer in answers[:3]]
    assert "send at most 5 rows per request" in answers[3].json()["error"]
    assert None is answers[3].header("retry-after")


def test_auth_failure_limit_rejects_before_the_lookup(mount, wine, wine_row):
    mounted = Mounted(mount, make_gate(wine, auth_failure_limit="2/minute"))
    answers = [mounted.predict(wine_row, key) for key in (KEY, "wrong" * 4, "wrong" * 5, KEY)]

    assert [200, 401, 401, 429] == [answer.status for answer in answers]
    assert 1 <= int(answers[3].header("retry-after")) <= 60


def test_trusted_proxies_tell_callers_apart(mount, wine, wine_row):
    gate = make_gate(wine, auth_failure_limit="1/minute", trusted_proxies=["192.0.2.0/24"])
    mounted = Mounted(mount, gate)

    def send(caller, key):
        fields = {"forwarded": f"for={caller}", "x-forwarded-for": f"8.8.8.8, {caller}"}
        return mounted.post(
            "/api/predict", json={"api_key": key, "input_data": wine_row}, headers=fields
        ).status

    assert [401, 429] == [send("198.51.100.1", "wrong" * 4) for _ in range(2)]
    assert 200 == send("198.51.100.2", KEY)


def test_concurrency_is_released_after_each_request(mount, wine, wine_row):
    """Whatever its outcome."""
    mounted = Mounted(mount, make_gate(wine, limits=ConcurrencyLimit(1)))

    assert [200, 400, 200] == [mounted.predict(rows).status for rows in (wine_row, {}, wine_row)]
