"""Hosts and servers in one table: each pair runs once for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import Server, run_server

APPS = Path(__file__).parent / "apps"
GUNICORN = ["-m", "gunicorn", "APP", "--bind", "127.0.0.1:PORT"]

SERVERS = {
    "uvicorn": ["-m", "uvicorn", "APP", "--port", "PORT"],
    "hypercorn": ["-m", "hypercorn", "APP", "--bind", "127.0.0.1:PORT"],
    "granian-asgi": ["-m", "granian", "APP", "--interface", "asgi", "--port", "PORT"],
    "daphne": ["-m", "daphne", "APP", "--port", "PORT"],
    "sync": [*GUNICORN, "--worker-class", "sync"],
    "gthread": [*GUNICORN, "--worker-class", "gthread", "--threads", "8"],
    "gevent": [*GUNICORN, "--worker-class", "gevent"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:PORT", "APP"],
    # By default it resets the sixth connection that is waiting.
    "cheroot": ["-m", "cheroot", "APP", "--bind", "127.0.0.1:PORT", "--request-queue-size", "64"],
    "granian-wsgi": ["-m", "granian", "APP", "--interface", "wsgi", "--port", "PORT"],
    "hypercorn-wsgi": ["-m", "hypercorn", "wsgi:APP", "--bind", "127.0.0.1:PORT"],
}

# App of each host, and the servers that it runs behind.
HOSTS = {
    "starlette": ("starlette_app:app", ["uvicorn", "hypercorn", "granian-asgi", "daphne"]),
    "fastapi": ("fastapi_app:app", ["uvicorn"]),
    "quart": ("quart_app:app", ["uvicorn", "hypercorn"]),
    "litestar": ("litestar_app:app", ["uvicorn"]),
    "falcon-asgi": ("falcon_asgi_app:app", ["uvicorn"]),
    "blacksheep": ("blacksheep_app:app", ["uvicorn"]),
    "sanic": ("sanic_app:app", ["uvicorn"]),
    "django-asgi": ("django_app:asgi_app", ["uvicorn", "daphne"]),
    "flask": (
        "flask_app:app",
        ["sync", "gthread", "gevent", "waitress", "cheroot", "granian-wsgi", "hypercorn-wsgi"],
    ),
    "flask-routes": ("flask_routes_app:app", ["gthread", "gevent"]),
    "django": ("django_app:app", ["gthread", "gevent"]),
    "falcon": ("falcon_app:app", ["waitress"]),
    "bottle": ("bottle_app:app", ["waitress"]),
    "pyramid": ("pyramid_app:app", ["waitress"]),
}

PAIRS = [(host, server) for host, (_, servers) in HOSTS.items() for server in servers]


@pytest.fixture(scope="session", params=PAIRS, ids="-".join)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one host behind one server."""
    host, name = request.param
    command = [part.replace("APP", HOSTS[host][0]) for part in SERVERS[name]]
    with run_server(f"{host}-{name}", command, tmp_path_factory.mktemp(host), cwd=APPS) as running:
        yield running
