"""``modelgate replay``: a file of requests, and two gates that answer alike or not."""

import json
import socket

import click.testing
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.cli.recorded import differences, recorded
from modelgate.cli.root import cli
from modelgate.errors import ConfigurationError

KEY = "mg_the-key-of-the-replay"
GENERATED = f"shop_s3cret_{'5' * 26}_{'a' * 6}"

APP = f"""
import time

from modelgate import Deployment, Gate, Schema

def made(factor):
    function = lambda table: table["age"] * factor
    deployment = Deployment("price", function, schema=Schema.of(age=float), target="price")
    return Gate([deployment], keys={{"{KEY}": "price"}})

old, new = made(2), made(3)

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
    """Runs the command over requests, against a gate of a module beside them."""
    module = f"replayed_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{module}.py").write_text(APP)
    monkeypatch.chdir(tmp_path)

    def run(requests, to, *arguments, code=0):
        if isinstance(requests, list):
            requests = "\n\n".join(map(json.dumps, requests))
        (tmp_path / "requests.jsonl").write_text(requests)
        target = to if "://" in to else f"{module}:{to}"
        command = ["replay", "requests.jsonl", "--to", target, "--key-env", "THE_KEY", *arguments]
        done = click.testing.CliRunner(env={"THE_KEY": KEY}).invoke(cli, command)

        assert code == done.exit_code, done.output
        assert KEY not in done.output
        return done

    return run


def test_models_that_take_long_to_load_are_waited_for(run, tmp_path):
    """Also where a request would not wait; what is paused is left alone."""
    run(REQUESTS, "old", "--record", "answers.jsonl")

    assert "0 answered in another way" in run((tmp_path / "answers.jsonl").read_text(), "slow").stdout


def test_recorded_and_replayed(run, tmp_path):
    """What one gate answers is what another one should: ids and times aside, all differences are told."""
    run(REQUESTS, "old", "--record", "answers.jsonl")
    answers = (tmp_path / "answers.jsonl").read_text()
    alike = run(answers, "old")
    other = run(answers, "new", code=1).stdout.splitlines()
    told = json.loads(run(answers, "new", "--json", code=1).stdout)

    assert KEY not in answers
    assert "5 requests, 0 answered in another way\n" == alike.stdout
    assert [
        "line 1  POST /simple/price  answer.prediction is 3.0, and was 2.0",
        "line 2  POST /predict/price  answer.result is 7.5, and was 5.0",
        r'line 3  POST /deployments/price/predictions  answer is "price_PREDICTION\n3.0\n", and was "price_PREDICTION\n2.0\n"',
        "5 requests, 3 answered in another way",
    ] == other
    assert (5, 3) == (told["requests"], len(told["differences"]))
    assert {
        "line": 1,
        "method": "POST",
        "path": "/simple/price",
        "what": "answer.prediction is 3.0, and was 2.0",
    } == told["differences"][0]


def test_what_may_differ(run):
    """A member that is named, and numbers by as much as is said."""
    expected = [{**REQUESTS[0], "answer": {"prediction": 2.1}}]

    run(expected, "old", code=1)
    run(expected, "old", "--tolerance", "0.2")
    run(expected, "old", "--ignore", "prediction")


def test_a_status_that_differs(run):
    """Is told."""
    told = run([{**REQUESTS[0], "status": 404}], "old", code=1).stdout

    assert "status is 200, and was 404" in told


def test_a_url(run, monkeypatch):
    """Paths are those below the mount point."""
    asked = []

    def handle(request):
        asked.append((str(request.url), request.headers["authorization"]))
        return httpx.Response(200, text="fine")

    made = httpx.Client
    monkeypatch.setattr(
        httpx, "Client", lambda **options: made(**options, transport=httpx.MockTransport(handle))
    )
    run([{**REQUESTS[0], "answer": "fine"}], "http://host/ml")

    assert [("http://host/ml/simple/price", f"Bearer {KEY}")] == asked


def test_nobody_there(run):
    """Exit code 4."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    assert "see that the address is right" in run(REQUESTS, f"http://127.0.0.1:{port}", code=4).stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: Input data was truncated"),
        ("[]", "line 2: Expected `object`"),
        ('{"method": "GET"}', "line 2: Object missing required field `path`"),
        ('{"path": "/x", "boddy": ""}', "line 2: Object contains unknown field `boddy`"),
        ('{"path": "x"}', "line 2: accepts a path from / on"),
        ('{"path": "/x", "json": 1, "body": ""}', "headers in ASCII, and json or body"),
        ('{"path": "/x", "headers": {"X-API-Key": "mg_s3cret"}}', "line 2: has the header X-API-Key"),
        ('{"path": "/x", "json": {"api_key": "s3cret"}}', "line 2: has the member api_key"),
        ('{"path": "/x", "body": "{\\"api_key\\": \\"s3cret\\"}"}', "line 2: has the member api_key"),
        (json.dumps({"path": f"/predict/{GENERATED}"}), "line 2: has what looks like a key"),
        (json.dumps({"path": "/x", "json": [{"a": GENERATED}]}), "line 2: has what looks like a key"),
        (json.dumps({"path": "/x", "answer": f"of {GENERATED}"}), "line 2: has what looks like a key"),
        (json.dumps({"path": "/x", "headers": {"x-custom": KEY}}), "line 2: has the key itself"),
        (json.dumps({"path": f"/x?k=%6d{KEY[1:]}"}), "line 2: has the key itself"),
        (r'{"path": "/x\u0000"}', "line 2: accepts a path from / on without control characters"),
        ('{"path": "/x", "headers": {"a": "ä"}}', "headers in ASCII"),
    ],
)
def test_lines_that_are_no_requests(run, line, told):
    """Are told with their number, before anything is sent; a secret has no place in a file, and is not shown."""
    done = run(json.dumps(REQUESTS[0]) + "\n" + line, "old", code=2)

    assert told in done.stderr
    assert "s3cret" not in done.stderr
    assert GENERATED not in done.stderr


def test_no_request(run):
    """A file without any was meant to be another."""

    assert "requests.jsonl has no request" in run("\n\n", "old", code=2).stderr


def test_what_cannot_be_written_or_asked(run):
    """Is told in a line; differences are printed all the same."""
    there = run([{**REQUESTS[0], "status": 404}], "old", "--record", "nowhere/answers.jsonl", code=2)

    assert "status is 200, and was 404" in there.stdout
    assert "nowhere/answers.jsonl" in there.stderr
    assert "URL too long" in run([{"path": "/" + "x" * 70_000}], "old", code=4).stderr


def test_empty_lines_are_none():
    """And lines are counted with them."""
    assert [3] == [number for number, _ in recorded([b"", b"  ", b'{"path":"/"}'])]
    with pytest.raises(ConfigurationError, match="line 2"):
        list(recorded([b"", b"x"]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(JSON, JSON)
def test_only_what_is_another_differs(one, other):
    """Nothing differs from itself; and whichever side asks, it finds that something does."""
    there, back = list(differences(one, other, 0, ())), list(differences(other, one, 0, ()))

    assert [] == list(differences(one, one, 0, ()))
    assert bool(there) == bool(back)


def test_whole_numbers():
    """May be ids and labels: they differ however large they are, unless so much is allowed."""

    assert [] != list(differences(10_000_000_000, 10_000_000_001, 1e-9, ()))
    assert [] == list(differences(10, 12, 2, ()))
    assert [] == list(differences(10_000_000_000, 10_000_000_001.0, 1e-9, ()))


def test_differences():
    """Each with its place; long values are cut."""
    expected = {"a": [1, {"b": 2}], "c": 1, "d": "x" * 99, "e": True}
    told = {"a": [1, {"b": 3}, 4], "f": 1, "d": "y", "e": 1}

    assert [
        "answer.a has 3 items, and had 2",
        "answer.a[1].b is 3, and was 2",
        "answer.c is missing",
        f'answer.d is "y", and was "{"x" * 58}…',
        "answer.e is 1, and was true",
        "answer.f is new",
    ] == list(differences(expected, told, 0, ()))
