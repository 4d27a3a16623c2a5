"""``modelgate replay``, with gates whose answers are the same or differ."""

import json
import socket

import click.testing
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.cli.recording import find_differences, read_recording
from modelgate.cli.root import cli
from modelgate.errors import ConfigurationError

KEY = "mg_the-key-of-the-replay"
GENERATED = f"shop_s3cret_{'5' * 26}_{'a' * 6}"

APP = f"""
import time

from modelgate import Deployment, Gate, Schema

class Times:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, rows):
        return rows[:, 0] * self.factor

def make(factor):
    deployment = Deployment("price", Times(factor), schema=Schema.of(age=float), target="price")
    return Gate([deployment], keys={{"{KEY}": "price"}})

old, new = make(2), make(3)

class Slow:
    def load(self, name):
        time.sleep(0.2)
        return old.deployments["price"].model

slow = Gate(
    [Deployment("price", "store:price", schema=Schema.of(age=float), target="price"),
     Deployment("gone", "store:gone", state="paused")],
    keys={{"{KEY}": "price"}}, store=Slow(), load_timeout=0.01,
)
"""

REQUESTS = [
    {"path": "/simple/price", "json": {"age": 1}},
    {"path": "/predict/price", "json": {"age": 2.5}, "status": 200},
    {
        "path": "/deployments/price/predictions",
        "body": "age\n1\n",
        "headers": {"Content-Type": "text/csv", "Accept": "text/csv"},
    },
    {"path": "/simple/price", "json": {"old": 1}},
    {"path": "/deployments/price", "method": "GET"},
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command with requests, against a gate of a module in the same folder."""
    module = f"replayed_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{module}.py").write_text(APP)
    monkeypatch.chdir(tmp_path)

    def run(requests, gate, *arguments, code=0):
        if isinstance(requests, list):
            requests = "\n\n".join(map(json.dumps, requests))
        (tmp_path / "requests.jsonl").write_text(requests)
        target = gate if "://" in gate else f"{module}:{gate}"
        command = ["replay", "requests.jsonl", "--target", target, "--key-env", "THE_KEY", *arguments]
        done = click.testing.CliRunner(env={"THE_KEY": KEY}).invoke(cli, command)

        assert code == done.exit_code, done.output
        assert KEY not in done.output
        return done

    return run


def test_replay_waits_for_slow_models(run, tmp_path):
    """Requests to them would time out. Paused deployments are not loaded."""
    run(REQUESTS, "old", "--record", "answers.jsonl")

    assert "0 with differences" in run((tmp_path / "answers.jsonl").read_text(), "slow").stdout


def test_replay_reports_differences_from_recorded_answers(run, tmp_path):
    """Ids and times may differ."""
    run(REQUESTS, "old", "--record", "answers.jsonl")
    answers = (tmp_path / "answers.jsonl").read_text()
    alike = run(answers, "old")
    other = run(answers, "new", code=1).stdout.splitlines()
    report = json.loads(run(answers, "new", "--json", code=1).stdout)

    assert KEY not in answers
    assert "5 requests, 0 with differences\n" == alike.stdout
    assert [
        "line 1  POST /simple/price  answer.prediction is 3.0, was 2.0",
        "line 2  POST /predict/price  answer.result is 7.5, was 5.0",
        r'line 3  POST /deployments/price/predictions  answer is "price_PREDICTION\n3.0\n", was "price_PREDICTION\n2.0\n"',
        "5 requests, 3 with differences",
    ] == other
    assert (5, 3) == (report["requests"], len(report["differences"]))
    assert {
        "line": 1,
        "method": "POST",
        "path": "/simple/price",
        "what": "answer.prediction is 3.0, was 2.0",
    } == report["differences"][0]


def test_tolerance_and_ignored_members(run):
    expected = [{**REQUESTS[0], "answer": {"prediction": 2.1}}]

    run(expected, "old", code=1)
    run(expected, "old", "--tolerance", "0.2")
    run(expected, "old", "--ignore", "prediction")


def test_status_differences_are_reported(run):
    output = run([{**REQUESTS[0], "status": 404}], "old", code=1).stdout

    assert "status is 200, was 404" in output


def test_paths_are_relative_to_the_target_url(run, monkeypatch):
    requests = []

    def handle(request):
        requests.append((str(request.url), request.headers["authorization"]))
        return httpx.Response(200, text="fine")

    original = httpx.Client
    monkeypatch.setattr(
        httpx, "Client", lambda **options: original(**options, transport=httpx.MockTransport(handle))
    )
    run([{**REQUESTS[0], "answer": "fine"}], "http://host/ml")

    assert [("http://host/ml/simple/price", f"Bearer {KEY}")] == requests


def test_unreachable_server_exits_with_4(run):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    assert "check the address" in run(REQUESTS, f"http://127.0.0.1:{port}", code=4).stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: "),
        ("[]", "line 2: "),
        ('{"method": "GET"}', "`path`"),
        ('{"path": "/x", "boddy": ""}', "`boddy`"),
        ('{"path": "x"}', "line 2: path must start with /"),
        ('{"path": "/x", "json": 1, "body": ""}', "only one of json and body may be set"),
        ('{"path": "/x", "headers": {"X-API-Key": "mg_s3cret"}}', "line 2 contains the header X-API-Key"),
        ('{"path": "/x", "json": {"api_key": "s3cret"}}', "line 2 contains the member api_key"),
        ('{"path": "/x", "body": "{\\"api_key\\": \\"s3cret\\"}"}', "line 2 contains the member api_key"),
        (json.dumps({"path": f"/predict/{GENERATED}"}), "line 2 contains what looks like a key"),
        (json.dumps({"path": "/x", "json": [{"a": GENERATED}]}), "line 2 contains what looks like a key"),
        (json.dumps({"path": "/x", "answer": f"of {GENERATED}"}), "line 2 contains what looks like a key"),
        (json.dumps({"path": "/x", "headers": {"x-custom": KEY}}), "line 2 contains the key itself"),
        (json.dumps({"path": f"/x?k=%6d{KEY[1:]}"}), "line 2 contains the key itself"),
        (json.dumps({"path": "/x", "json": {f"%6d{KEY[1:]}": 1}}), "line 2 contains the key itself"),
        (r'{"path": "/x\u0000"}', "line 2: path must start with / and have no control characters"),
        ('{"path": "/x", "headers": {"a": "ä"}}', "headers must be ASCII"),
    ],
)
def test_invalid_lines_are_rejected_by_number(run, line, message):
    """Nothing is sent, and secrets are not printed."""
    done = run(json.dumps(REQUESTS[0]) + "\n" + line, "old", code=2)

    assert message in done.stderr
    assert "s3cret" not in done.stderr
    assert GENERATED not in done.stderr


def test_file_without_requests_is_rejected(run):
    assert "requests.jsonl has no request" in run("\n\n", "old", code=2).stderr


def test_unwritable_record_and_unusable_path(run):
    done = run([{**REQUESTS[0], "status": 404}], "old", "--record", "nowhere/answers.jsonl", code=2)

    assert "status is 200, was 404" in done.stdout
    assert "nowhere/answers.jsonl" in done.stderr
    assert "URL too long" in run([{"path": "/" + "x" * 70_000}], "old", code=4).stderr


def test_empty_lines_are_skipped_but_counted():
    assert [3] == [number for number, _ in read_recording([b"", b"  ", b'{"path":"/"}'])]
    with pytest.raises(ConfigurationError, match="line 2"):
        list(read_recording([b"", b"x"]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@pytest.mark.slow
@given(JSON, JSON)
def test_differences_are_symmetric_and_none_with_itself(one, other):
    forward, backward = list(find_differences(one, other, 0, ())), list(find_differences(other, one, 0, ()))

    assert [] == list(find_differences(one, one, 0, ()))
    assert bool(forward) == bool(backward)


def test_integers_ignore_the_relative_tolerance():
    """They may be ids or labels."""

    assert [] != list(find_differences(10_000_000_000, 10_000_000_001, 1e-9, ()))
    assert [] == list(find_differences(10, 12, 2, ()))
    assert [] == list(find_differences(10_000_000_000, 10_000_000_001.0, 1e-9, ()))


def test_differences_name_their_location():
    """Long values are shortened."""
    expected = {"a": [1, {"b": 2}], "c": 1, "d": "x" * 99, "e": True}
    actual = {"a": [1, {"b": 3}, 4], "f": 1, "d": "y", "e": 1}

    assert [
        "answer.a has 3 items, had 2",
        "answer.a[1].b is 3, was 2",
        "answer.c is missing",
        f'answer.d is "y", was "{"x" * 58}…',
        "answer.e is 1, was true",
        "answer.f is new",
    ] == list(find_differences(expected, actual, 0, ()))
