"""``modelgate serve``, as people start it."""

import json
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request

import click.testing
import joblib
import pytest
import skops.io

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from modelgate.cli.root import cli
from modelgate.cli.serve import gate_of, greeting, is_loopback, models_in

COMMAND = "from modelgate.cli import main; main()"


@pytest.fixture(scope="module")
def folder(wine, diabetes, tmp_path_factory):
    """A folder of models: of wine two versions, and others that are no models."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("wine@9.skops", "wine@10.skops"):
        skops.io.dump(wine[0], folder / name)
    ModelPackage.from_estimator(diabetes[0], diabetes[1][:20], None, name="diabetes").save(
        folder / "diabetes.mgpkg"
    )
    (folder / "notes.txt").write_text("no model")
    return folder


def serve(*arguments, code=2):
    done = click.testing.CliRunner().invoke(cli, ["serve", *map(str, arguments)])

    assert code == done.exit_code, done.output
    return done


def test_what_is_printed_works(folder):
    """The address, a key for this run, and for each deployment a command that asks it."""
    command = [sys.executable, "-c", COMMAND, "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        while sum(line.startswith("curl ") for line in lines) < 2:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        answers = [ask(line) for line in lines if line.startswith("curl ")]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)

    assert (0, "", "") == (process.returncode, rest, errors)
    assert lines[0].startswith("Serving at http://127.0.0.1:")
    assert lines[1].startswith("Key, for this run alone: mg_live_")
    assert [{"prediction"}, {"prediction", "confidence"}] == [answer.keys() for answer in answers]


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_where_it_listens(folder, monkeypatch, host, shown):
    """On the address that is printed, until it is interrupted."""
    bound = []

    def run(server, sockets):
        bound.extend(listening.getsockname()[1] for listening in sockets)
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", run)
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    told = serve(folder, "--host", host, "--port", "0", code=0).stdout

    assert f"Serving at http://{shown}:{bound[0]} until Ctrl-C" in told


def ask(line):
    """What the curl command *line* is answered."""
    _, url, *options = shlex.split(line)
    told = dict(zip(options[1::2], options[::2], strict=True))
    headers = dict(text.split(": ", 1) for text, option in told.items() if option == "-H")
    body = next(text for text, option in told.items() if option == "-d").encode()
    opened = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opened.open(urllib.request.Request(url, body, headers), timeout=20) as answer:
        return json.loads(answer.read())


def test_names_and_versions(folder):
    """Of a folder the newest version of each, of a file what it is called."""
    told = models_in([folder])

    assert {"diabetes": "diabetes.mgpkg", "wine": "wine@10.skops"} == {
        name: file.name for name, file in told.items()
    }
    assert {"wine": folder / "wine@9.skops"} == models_in([folder / "wine@9.skops"])


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["."], "has no model file, ending in .mgpkg, .skops, .joblib"),
        (["wine@9.skops", "wine@10.skops"], "is called wine too"),
        (["notes.txt"], "accepts files ending in"),
    ],
)
def test_what_cannot_be_served(folder, tmp_path, paths, told):
    """Is told with the name of the file."""
    paths = [tmp_path if path == "." else folder / path for path in paths]

    assert told in serve(*paths).stderr


def test_a_pickle(folder, tmp_path, diabetes):
    """Is loaded by whoever says so, alone or in a package."""
    joblib.dump(diabetes[0], tmp_path / "plain.joblib")
    package = ModelPackage.from_estimator(diabetes[0], diabetes[1][:20], None, name="packed", format="joblib")
    package.save(tmp_path / "packed.mgpkg", folder=True)

    assert "is a pickle" in serve(tmp_path / "plain.joblib").stderr
    assert "holds a pickle" in serve(tmp_path / "packed.mgpkg").stderr
    assert ["packed", "plain"] == list(
        gate_of([tmp_path], "open", limits="9/minute", trusted=True).deployments
    )


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("host", False),
    ],
)
def test_loopback(host, only_here):
    """Whether other machines reach it."""

    assert only_here is is_loopback(host)


@pytest.mark.parametrize("keys", [[], ["--keys", "open"]])
def test_other_machines(folder, keys):
    """Are not let in by a key that stands on a screen, or by none, unless that is said."""

    assert "or say --expose" in serve(folder, "--host", "0.0.0.0", *keys).stderr


def test_a_port_that_is_taken(folder):
    """Is told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert f"port {port}: Address already in use" in serve(folder, "--port", port).stderr


def test_a_missing_uvicorn(folder, monkeypatch):
    """Is told with the extra."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert 'pip install "modelgate[serve]"' in serve(folder).stderr


def test_keys_of_ones_own(folder):
    """Are not shown; a gate for anyone asks for none; a schema that is hidden gives no example."""
    schema = Schema.of(age=float)
    shown, hidden = (
        Gate([Deployment("twice", lambda table: table["age"] * 2, schema=schema)], keys="open")
        for schema in (schema, schema.reading(reveal=False))
    )
    own, anyone = ("\n".join(greeting(shown, "http://h", None, is_open=told)) for told in (False, True))

    assert "'Authorization: Bearer <key>'" in own
    assert "Bearer" not in anyone
    assert "Key, for" not in own + anyone
    assert list(greeting(hidden, "http://h", None))[-1].endswith(" -d '{}'")


def test_options_that_cannot_work(folder, monkeypatch):
    """Are told as those of a gate."""
    monkeypatch.delenv("NO_SUCH", raising=False)

    assert "is no window" in serve(folder, "--limits", "often").stderr
    with pytest.raises(ConfigurationError, match="NO_SUCH"):
        gate_of([folder], "env:NO_SUCH", limits="9/minute", trusted=False)
