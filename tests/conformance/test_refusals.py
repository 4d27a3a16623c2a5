"""What every mount answers to a request that cannot be scored."""

import logging

import pytest

from conformance.conftest import Mounted, make_gate
from conftest import KEY, OTHER_KEY
from modelgate import Concurrency, RateLimit

ROW = b'{"alcohol": 13.2, "malic_acid": 1.78, "hue": 1.05, "colour": "medium"}'


def body_of(row):
    return b'{"api_key": "%s", "input_data": %s}' % (KEY.encode(), row)


BAD_BODIES = {
    "none": b"",
    "broken": b'{"api_key": ',
    "trailing": body_of(ROW) + b"x",
    "an array": b"[1, 2]",
    "a text": b'"hello"',
    "a number": b"1",
    "null": b"null",
    "not utf-8": body_of(b'{"colour": "\xff\xfe"}'),
    "not utf-8 in a member nobody reads": body_of(ROW)[:-1] + b', "note": "\xff"}',
    "utf-16": body_of(ROW).decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + body_of(ROW),
    "NaN": body_of(ROW.replace(b"13.2", b"NaN")),
    "infinity": body_of(ROW.replace(b"13.2", b"-Infinity")),
    "1e400": body_of(ROW.replace(b"13.2", b"1e400")),
    "400 digits": body_of(ROW.replace(b"13.2", b"9" * 400)),
    "5000 digits": body_of(ROW.replace(b"13.2", b"9" * 5000)),
    "hexadecimal": body_of(ROW.replace(b"13.2", b"0x1F")),
    "lone surrogate": body_of(ROW.replace(b"medium", b"\\ud800")),
    "deep value": body_of(ROW.replace(b"13.2", b"[" * 500 + b"]" * 500)),
    "deep open value": body_of(ROW.replace(b"13.2", b"[" * 100_000)),
    "deep unknown column": body_of(ROW[:-1] + b', "zz": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}"),
    "deep unknown member": body_of(ROW)[:-1] + b', "zz": ' + b"[" * 500 + b"]" * 500 + b"}",
    "deeper unknown member": body_of(ROW)[:-1] + b', "zz": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a column twice": body_of(ROW[:-1] + b', "hue": 1.05}'),
    "a key twice": body_of(ROW)[:-1] + b', "api_key": "%s"}' % KEY.encode(),
    "no input_data": b'{"api_key": "%s"}' % KEY.encode(),
    "input_data is a text": body_of(b'"row"'),
    "input_data is null": body_of(b"null"),
    "rows are numbers": body_of(b"[1, 2]"),
    "a row is an array": body_of(b"[[13.2, 1.78]]"),
    "a number is a text": body_of(ROW.replace(b"13.2", b'"13.2"')),
    "a number is true": body_of(ROW.replace(b"13.2", b"true")),
    "a number is null": body_of(ROW.replace(b"13.2", b"null")),
    "a text is a number": body_of(ROW.replace(b'"medium"', b"3")),
    "an unknown level": body_of(ROW.replace(b"medium", b"Medium")),
    "an object": body_of(ROW.replace(b"13.2", b"{}")),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_body(mounted, body):
    """Whatever is wrong with a body, the answer is a 400 in the dialect's shape; the next one is served."""
    answer = mounted.post("/api/predict", body=body, headers={"content-type": "application/json"})
    after = mounted.post("/api/predict", body=body_of(ROW))

    assert answer.status == 400
    assert answer.header("content-type") == "application/json"
    assert answer.json()["error"]
    assert after.status == 200


def test_missing_columns(mounted):
    """Every missing column is named, in the order of the model, and wrong values beside them."""
    answer = mounted.predict({"hue": "red", "extra": 1})

    assert answer.status == 400
    assert answer.json() == {
        "error": "Prediction failed due to missing input data",
        "missing_columns": ["alcohol", "malic_acid", "colour"],
        "errors": {"hue": "must be a number"},
    }


def test_wrong_values(mounted, wine_row):
    """Every wrong value is told by its column, and no value is echoed."""
    answer = mounted.predict({**wine_row, "alcohol": "s3cret", "colour": "s3cret"})

    assert answer.status == 400
    assert answer.json()["errors"] == {
        "alcohol": "must be a number",
        "colour": "must be one of deep, light, medium",
    }
    assert b"s3cret" not in answer.body


@pytest.mark.parametrize(
    "told", ["text/plain", "application/x-www-form-urlencoded", "application/pickle", "a"]
)
def test_content_type(mounted, told):
    """A body of another kind is refused, and told which kind is read."""
    answer = mounted.post("/api/predict", body=body_of(ROW), headers={"content-type": told})

    assert (answer.status, answer.header("accept")) == (415, "application/json")


@pytest.mark.parametrize(
    "told", ["application/json; charset=utf-8", "APPLICATION/JSON", "text/json", "application/vnd.x+json"]
)
def test_content_type_of_json(mounted, told):
    """Every spelling of JSON is read."""
    answer = mounted.post("/api/predict", body=body_of(ROW), headers={"content-type": told})

    assert answer.status == 200


@pytest.mark.parametrize("path", ["/api/predict", "/predApi/v1.0/deployments/wine/predictions"])
def test_json_in_another_charset(mounted, path):
    """JSON is UTF-8, in every dialect: the refusal says so."""
    answer = mounted.post(
        path,
        body=body_of(ROW),
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json; charset=utf-16"},
    )

    assert (answer.status, answer.header("accept")) == (415, "application/json;charset=utf-8")


def test_body_over_the_limit(mounted):
    """A body of more than 1 MiB is refused by its length."""
    answer = mounted.post("/api/predict", body=body_of(ROW) + b" " * 1024 * 1024)

    assert (answer.status, list(answer.json())) == (413, ["error"])


def test_body_over_the_limit_that_streams(mounted):
    """A body of more than 1 MiB is refused while it arrives, where its length is not told."""
    answer = mounted.post("/api/predict", body=[body_of(ROW)] + [b" " * 65536] * 17)

    assert (answer.status, list(answer.json())) == (413, ["error"])


@pytest.mark.parametrize("told", ["-1", "+5", "1_0", "abc", "9" * 30])
def test_content_length(mounted, told):
    """A length that is no number is a bad request."""
    answer = mounted.post("/api/predict", body=b"{}", headers={"content-length": told})

    assert answer.status == 400


def test_short_body(mount, wine):
    """A body shorter than its length says is a bad request."""
    mounted = Mounted(mount, make_gate(wine))
    length = str(len(body_of(ROW)) + 5)
    answer = mounted.post("/api/predict", body=[body_of(ROW)[:-5]], headers={"content-length": length})

    assert answer.status == 400


class TestKeys:
    def test_none(self, mounted, wine_row):
        """Without a key the answer is a 401 with a challenge that names no error."""
        answer = mounted.post("/api/predict", json={"input_data": wine_row})

        assert (answer.status, answer.json()) == (401, {"error": "Missing API key"})
        assert answer.header("www-authenticate") == 'Bearer realm="modelgate"'

    @pytest.mark.parametrize(
        "key", ["wrong", KEY[:-1], KEY + KEY, "", "é", "\0", "k" * 60_000, 7, None, [KEY], {}]
    )
    def test_wrong(self, mounted, wine_row, key):
        """A key nobody knows, of whatever kind, is a 401."""
        answer = mounted.predict(wine_row, key)

        assert answer.status == 401
        assert answer.header("www-authenticate").startswith("Bearer realm=")

    @pytest.mark.parametrize(
        "headers",
        [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bEaReR  {KEY}"}, {"x-api-key": KEY}],
    )
    def test_in_a_header(self, mounted, wine_row, headers):
        """The key may stand in a header field."""
        answer = mounted.post("/api/predict", json={"input_data": wine_row}, headers=headers)

        assert answer.status == 200

    def test_in_the_path(self, mounted, wine_row):
        """The key may stand in the path."""
        assert mounted.post(f"/api/predict/{KEY}", json={"input_data": wine_row}).status == 200

    def test_everywhere(self, mounted, wine_row):
        """The same key in every place is no conflict."""
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
    def test_conflict(self, mounted, wine_row, path, headers, body):
        """Two different keys in one request are refused, though both are good."""
        answer = mounted.post("/api/predict" + path, json={"input_data": wine_row, **body}, headers=headers)

        assert (answer.status, answer.json()["error"]) == (400, "Two different API keys were sent: send one")

    def test_wrong_key_before_the_body(self, mounted):
        """A wrong key in a header is refused before the body is read."""
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


def test_paused(mounted):
    """A deployment that is not active is a 403, as the document has it."""
    assert mounted.predict({"x0": 1}, OTHER_KEY, deployment="paused").status == 403


def test_vanished(mounted):
    """A key whose deployment is gone is a 404, as the document has it."""
    assert mounted.predict({"x0": 1}, OTHER_KEY, deployment="vanished").status == 404


def test_ambiguous(mounted):
    """A key for several deployments must name one, and is told its own."""
    answer = mounted.predict({"amount": 1}, OTHER_KEY)

    assert answer.status == 400
    assert "double, triple, panic, broken, paused, vanished" in answer.json()["error"]


def test_rate(mount, wine, wine_row):
    """Over the limit the answer is a 429 that says when to try again."""
    mounted = Mounted(mount, make_gate(wine, limits="2/minute"))
    first, _, refused = (mounted.predict(wine_row) for _ in range(3))

    assert (first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")) == ("2", "1")
    assert (refused.status, refused.header("x-ratelimit-remaining")) == (429, "0")
    assert 1 <= int(refused.header("retry-after")) <= 60
    assert "Rate limit" in refused.json()["error"]


def test_rate_counts_refused_input(mount, wine, wine_row):
    """A request that fails after the key still counts, and its answer says how the window stands."""
    mounted = Mounted(mount, make_gate(wine, limits="2/minute"))
    answer = mounted.predict({})

    assert (answer.status, answer.header("x-ratelimit-remaining")) == (400, "1")


def test_model_that_fails(mounted, caplog):
    """A model that raises gives a 500 with the request id; what it raised is in the log alone."""
    with caplog.at_level(logging.ERROR, "modelgate"):
        answer = mounted.predict({"x0": 1}, OTHER_KEY, deployment="broken")

    assert answer.status == 500
    assert answer.header("x-request-id") == answer.json()["request_id"]
    assert b"recipe" not in answer.body
    assert "the secret recipe is missing" in caplog.text
    assert answer.json()["request_id"] in caplog.text
    assert OTHER_KEY not in caplog.text


@pytest.mark.parametrize("error", ["CancelledError", "SystemExit", "GeneratorExit"])
def test_model_that_panics(mounted, error):
    """What is no Exception, as a panic of an extension module is none, is the model's failure and no more."""
    answer = mounted.predict({"error": error}, OTHER_KEY, deployment="panic")
    after = mounted.predict({"amount": 1}, OTHER_KEY, deployment="double")

    assert (500, 200) == (answer.status, after.status)
    assert answer.header("x-request-id") == answer.json()["request_id"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"api_key": "%s"}', "input_data is missing: send an object of feature names and values"),
        (b'{"api_key": "%s", "input_data": 5}', "input_data must be an object of feature names and values"),
        (b'{"api_key": "%s", "input_data": {}, "deployment": 5}', "deployment must be text"),
    ],
)
def test_what_is_told_is_true(mounted, body, told):
    """What is missing is called missing, and what is wrong is called wrong."""
    assert told == mounted.post("/api/predict", body=body % KEY.encode()).json()["error"]


def test_a_key_that_is_no_text(mounted):
    """It is invalid, and not missing."""
    assert {"error": "Invalid API key"} == mounted.predict({}, 7).json()


def test_too_many_rows(mounted):
    """More rows than are accepted are refused before any of them is looked at."""
    rows = [{} for _ in range(10_001)]
    answer = mounted.predict(rows, OTHER_KEY, deployment="double")

    assert (400, "10001 rows are more than the 10000 accepted at once: send fewer") == (
        answer.status,
        answer.json()["error"],
    )


def test_rate_by_rows(mount, wine, wine_row):
    """A batch is charged whole or not at all; one that never fits is a 413 that says how many rows do."""
    limits = [RateLimit("9/minute"), RateLimit("5/minute; 9/day", cost="rows")]
    mounted = Mounted(mount, make_gate(wine, limits=limits))
    answers = [mounted.predict([wine_row] * rows) for rows in (3, 3, 2, 6)]

    assert [200, 429, 200, 413] == [answer.status for answer in answers]
    assert ["2", "2", "0"] == [answer.header("x-ratelimit-remaining") for answer in answers[:3]]
    assert "send at most 5 rows a request" in answers[3].json()["error"]
    assert None is answers[3].header("retry-after")


def test_failed_authentication(mount, wine, wine_row):
    """Beyond its limit an address is refused before its key is looked up."""
    mounted = Mounted(mount, make_gate(wine, auth_failures="2/minute"))
    answers = [mounted.predict(wine_row, key) for key in (KEY, "wrong" * 4, "wrong" * 5, KEY)]

    assert [200, 401, 401, 429] == [answer.status for answer in answers]
    assert 1 <= int(answers[3].header("retry-after")) <= 60


def test_trusted_proxies(mount, wine, wine_row):
    """Callers behind one are told apart by what it says of them."""
    gate = make_gate(wine, auth_failures="1/minute", trusted_proxies=["192.0.2.0/24"])
    mounted = Mounted(mount, gate)

    def ask(caller, key):
        fields = {"forwarded": f"for={caller}", "x-forwarded-for": f"8.8.8.8, {caller}"}
        return mounted.post(
            "/api/predict", json={"api_key": key, "input_data": wine_row}, headers=fields
        ).status

    assert [401, 429] == [ask("198.51.100.1", "wrong" * 4) for _ in range(2)]
    assert 200 == ask("198.51.100.2", KEY)


def test_concurrency(mount, wine, wine_row):
    """What a request held is free when it is over, whatever came of it."""
    mounted = Mounted(mount, make_gate(wine, limits=Concurrency(1)))

    assert [200, 400, 200] == [mounted.predict(rows).status for rows in (wine_row, {}, wine_row)]
