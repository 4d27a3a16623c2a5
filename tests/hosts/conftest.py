"""Hosts and servers in one table: each pair runs once for all tests of this folder."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.servers import Server, run_server
from support.waiting import wait_until

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
    "eventlet": ["eventlet_server.py", "APP", "PORT"],
    "uwsgi": [
        *("-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])", "--http-socket", "127.0.0.1:PORT"),
        *("--module", "APP", "--enable-threads", "--threads", "8", "--die-on-term", "--listen", "64"),
    ],
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
        [
            *("sync", "gthread", "gevent", "eventlet", "waitress", "cheroot", "granian-wsgi"),
            *("hypercorn-wsgi", "uwsgi"),
        ],
    ),
    "flask-routes": ("flask_routes_app:app", ["gthread", "gevent"]),
    "django": ("django_app:app", ["gthread", "gevent"]),
    "falcon": ("falcon_app:app", ["waitress"]),
    "bottle": ("bottle_app:app", ["waitress"]),
    "pyramid": ("pyramid_app:app", ["waitress"]),
}

PAIRS = [(host, server) for host, (_, servers) in HOSTS.items() for server in servers]


DROPS_REQUESTS = {"cheroot", "daphne", "eventlet", "uwsgi", "waitress"}
"""Servers that end the requests in flight when they stop, those of other apps too."""


@pytest.fixture(scope="session", params=PAIRS, ids="-".join)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one host behind one server, and stop it with a request in flight."""
    host, name = request.param
    command = [part.replace("APP", HOSTS[host][0]) for part in SERVERS[name]]
    folder = tmp_path_factory.mktemp(host)
    with ThreadPoolExecutor(1) as threads:
        with run_server(f"{host}-{name}", command, folder, cwd=APPS) as running:
            yield running
            last = threads.submit(running.post, "/ml/deployments/linger/predict", {"amount": 7})
            wait_until((folder / "lingers").exists)
        if name not in DROPS_REQUESTS:
            assert last.result().json()["prediction"] == 7
