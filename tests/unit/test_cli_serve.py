"""``modelgate serve``."""

import json
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import click.testing
import joblib
import pytest
import skops.io

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from modelgate.cli.root import cli
from modelgate.cli.serve import build_gate, find_models, format_greeting
from modelgate.http.client_address import is_loopback
from modelgate.testing import Client
from support.waiting import SOON

COMMAND = "from modelgate.cli import main; main()"


@pytest.fixture(scope="module")
def folder(wine, diabetes, tmp_path_factory):
    """A folder with two versions of wine, another model, and a file that is not a model."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("wine@9.skops", "wine@10.skops"):
        skops.io.dump(wine[0], folder / name)
    ModelPackage.from_estimator(diabetes[0], diabetes[1][:20], None, name="diabetes").save(
        folder / "diabetes.mgpkg"
    )
    for name in ("notes.md", "notes.txt"):
        (folder / name).write_text("no model")
    return folder


def serve(*arguments, code=2):
    done = click.testing.CliRunner().invoke(cli, ["serve", *map(str, arguments)])

    assert code == done.exit_code, done.output
    return done


@pytest.mark.slow
def test_printed_commands_work(folder):
    command = [sys.executable, "-c", COMMAND, "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines, limit = [], threading.Timer(SOON, process.kill)
        limit.start()
        while sum(line.startswith("curl ") for line in lines) < 2:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        answers = [run_curl(line) for line in lines if line.startswith("curl ")]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=SOON)
        limit.cancel()

    assert (0, "", "") == (process.returncode, rest, errors)
    assert lines[0].startswith("Serving at http://127.0.0.1:")
    assert lines[1].startswith("Key for this run only: mg_live_")
    assert [False, True] == ["probabilities" in answer for answer in answers]
    assert all("prediction" in answer for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_serve_listens_on_the_printed_address(folder, monkeypatch, host, shown):
    bound = []

    def run(server, sockets):
        bound.extend(listening.getsockname()[1] for listening in sockets)
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", run)
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    output = serve(folder, "--host", host, "--port", "0", code=0).stdout

    assert f"Serving at http://{shown}:{bound[0]} until Ctrl-C" in output


def run_curl(line):
    """Send the request of a curl command and return the answer."""
    _, url, *options = shlex.split(line)
    values = dict(zip(options[1::2], options[::2], strict=True))
    headers = dict(text.split(": ", 1) for text, option in values.items() if option == "-H")
    body = next(text for text, option in values.items() if option == "-d").encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body, headers), timeout=SOON) as answer:
        return json.loads(answer.read())


def test_newest_version_in_a_folder_is_served(folder):
    models = find_models([folder])

    assert {"diabetes": "diabetes.mgpkg", "wine": "wine@10.skops"} == {
        name: file.name for name, file in models.items()
    }
    assert {"wine": folder / "wine@9.skops"} == find_models([folder / "wine@9.skops"])


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["."], "contains no model file, such as churn.mgpkg"),
        (["wine@9.skops", "wine@10.skops"], "have the same name, wine"),
        (["notes.md"], "the file name must end in"),
    ],
)
def test_unusable_paths_are_reported(folder, tmp_path, paths, message):
    paths = [tmp_path if path == "." else folder / path for path in paths]

    assert message in serve(*paths).stderr


def test_pickles_need_load_pickle(folder, tmp_path, diabetes):
    """Alone and in a package."""
    joblib.dump(diabetes[0], tmp_path / "plain.joblib")
    package = ModelPackage.from_estimator(diabetes[0], diabetes[1][:20], None, name="packed", format="joblib")
    package.save(tmp_path / "packed.mgpkg", folder=True)

    assert "is a pickle" in serve(tmp_path / "plain.joblib").stderr
    assert "contains a pickle" in serve(tmp_path / "packed.mgpkg").stderr
    assert ["packed", "plain"] == list(
        build_gate([tmp_path], "open", limits="9/minute", load_pickle=True).deployments
    )


@pytest.mark.slow
def test_sample_rows_are_shown_on_request(folder):
    """Those of packages; other model files have none."""
    gate = build_gate([folder], "open", limits="9/minute", load_pickle=False, public_examples=3)
    hidden = build_gate([folder], "open", limits="9/minute", load_pickle=False)
    counts = {
        name: len(Client(served.wsgi).get(f"/deployments/{name}/training").json()["examples"])
        for served, name in ((gate, "wine"), (gate, "diabetes"))
    }

    assert {"wine": 0, "diabetes": 3} == counts
    assert [] == Client(hidden.wsgi).get("/deployments/diabetes/training").json()["examples"]
    assert 200 == Client(gate.wsgi).get("/deployments/wine/monitor").status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("host", False),
    ],
)
def test_loopback_addresses(host, expected):
    assert expected is is_loopback(host)


@pytest.mark.parametrize("keys", [[], ["--keys", "open"]])
def test_other_machines_need_expose_or_keys(folder, keys):
    assert "or allow this with --expose" in serve(folder, "--host", "0.0.0.0", *keys).stderr


def test_taken_port_is_reported(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert f"port {port}: Address already in use" in serve(folder, "--port", port).stderr


def test_missing_uvicorn_is_reported_with_its_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert 'pip install "modelgate[serve]"' in serve(folder).stderr


def test_greeting_shows_no_configured_keys_and_no_hidden_schema(folder):
    schema = Schema.of(age=float)
    shown, hidden = (
        Gate([Deployment("twice", lambda table: table["age"] * 2, schema=schema)], keys="open")
        for schema in (schema, schema.with_options(show_schema=False))
    )
    with_keys, without_keys = (
        "\n".join(format_greeting(shown, "http://h", None, is_open=is_open)) for is_open in (False, True)
    )

    assert "'Authorization: Bearer <key>'" in with_keys
    assert "Bearer" not in without_keys
    assert "Key for" not in with_keys + without_keys
    assert list(format_greeting(hidden, "http://h", None))[-1].endswith(" -d '{}'")


def test_gate_options_are_validated(folder, monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)

    assert "is not a window" in serve(folder, "--limits", "often").stderr
    with pytest.raises(ConfigurationError, match="NO_SUCH"):
        build_gate([folder], "env:NO_SUCH", limits="9/minute", load_pickle=False)
