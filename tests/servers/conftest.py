"""The example apps under the servers their users run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

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


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Return a function that starts a server once, for all files of this folder."""
    with ExitStack() as stack:

        @cache
        def start(name: str) -> Server:
            cwd = ROOT / "examples/flask_app" if name == "waitress" else ROOT
            return stack.enter_context(
                run_server(name, COMMANDS[name], tmp_path_factory.mktemp(name), cwd=cwd)
            )

        yield start


@pytest.fixture(scope="session", params=COMMANDS)
def server(request: pytest.FixtureRequest, start: Callable[[str], Server]) -> Server:
    """Serve an example app."""
    return start(request.param)
