"""The example apps under the servers their users run."""

from collections.abc import Iterator

import pytest

from support.servers import ROOT, Server, run_server

GUNICORN = ["-m", "gunicorn", "app:app", "--chdir", "examples/flask_app", "--bind", "127.0.0.1:PORT"]

COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "app:app", "--app-dir", "examples/starlette_app", "--port", "PORT"],
    "gunicorn-sync": [*GUNICORN, "--worker-class", "sync"],
    "gunicorn-gthread": [*GUNICORN, "--worker-class", "gthread", "--threads", "4"],
    "gunicorn-preload": [*GUNICORN, "--worker-class", "gthread", "--preload", "--workers", "2"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:PORT", "app:app"],
}


@pytest.fixture(scope="session", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve an example app."""
    name = request.param
    cwd = ROOT / "examples/flask_app" if name == "waitress" else ROOT
    with run_server(name, COMMANDS[name], tmp_path_factory.mktemp(name), cwd=cwd) as running:
        yield running
