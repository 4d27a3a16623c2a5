"""The files of nginx on the pages about load balancers and Ray Serve, in front of real servers."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.nginx import run_nginx
from support.redis_server import RedisServer
from support.servers import BEARER, ROOT, Response, Server, run_server

PORTS = ("8001", "8002", "8003")


def read_site(page: str) -> str:
    """Return the file of nginx on a page of the cookbook."""
    text = (ROOT / "docs/cookbook" / page).read_text()
    return re.findall("```nginx\n(.*?)```", text, re.DOTALL)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load-balancer")


@pytest.fixture(scope="module")
def nginx(folder: Path, redis_server: RedisServer) -> Iterator[Server]:
    command = ["-m", "uvicorn", "--app-dir", "tests", "servers.mortal_app:app", "--port", "PORT"]
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MORTAL_FOLDER", str(folder))
        patch.setenv("MORTAL_REDIS", redis_server.uri)
        servers = [stack.enter_context(run_server(f"server-{port}", command, folder)) for port in PORTS]
        site = read_site("load-balancers.md")
        for port, server in zip(PORTS, servers, strict=True):
            site = site.replace(f"127.0.0.1:{port}", f"127.0.0.1:{server.port}")
        yield Server("nginx", stack.enter_context(run_nginx(site, folder)), folder / "error.log", 0)


def predict(nginx: Server, name: str = "churn", **headers: str) -> Response:
    return nginx.post(f"/ml/simple/{name}", {"age": 21}, {**BEARER, **headers})


def read_calls(folder: Path) -> list[str]:
    """Return the process ids of the servers that have called the model."""
    return (folder / "calls").read_text().splitlines()


def test_deployments_keep_their_servers(nginx: Server, folder: Path) -> None:
    for name in ("churn", "price", "risk"):
        statuses = {predict(nginx, name).status for _ in range(8)}

        assert ({200}, 1) == (statuses, len({*read_calls(folder)[-8:]}))


def test_answer_of_a_killed_server_is_sent_by_the_next(nginx: Server, folder: Path) -> None:
    """It was charged and scored once."""
    calls = len(read_calls(folder))
    before = predict(nginx)
    (folder / "sending").touch()
    repeated = predict(nginx, **{"Idempotency-Key": "killed-before-the-answer-was-sent"})

    assert (200, "true") == (repeated.status, repeated.headers["idempotency-replayed"])
    assert before.json() == repeated.json()
    assert calls + 2 == len(read_calls(folder))
    after = predict(nginx)
    remaining = [int(answer.headers["x-ratelimit-remaining"]) for answer in (before, after)]
    assert remaining[0] - 2 == remaining[1]


def test_request_of_a_killed_server_is_not_scored_by_the_next(nginx: Server, folder: Path) -> None:
    """The caller is told to wait: nobody knows whether the first server still works on it."""
    calls = len(read_calls(folder))
    (folder / "scoring").touch()
    repeated = predict(nginx, **{"Idempotency-Key": "killed-before-the-model-returned"})

    assert (409, calls + 1) == (repeated.status, len(read_calls(folder)))
    assert int(repeated.headers["retry-after"]) >= 1


class Echo(BaseHTTPRequestHandler):
    """Answers with the name of the deployment that Ray Serve would read."""

    def do_GET(self) -> None:
        name = self.headers.get("serve-multiplexed-model-id", "none").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


def test_nginx_names_the_deployment_for_ray_serve(tmp_path: Path) -> None:
    paths = [
        "deployments/churn/predict",
        "simple/price",
        "v2/models/risk/infer",
        "deployments",
        "health/live",
    ]
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever).start()
        site = read_site("ray.md").replace("127.0.0.1:8000", f"127.0.0.1:{echo.server_port}")
        with run_nginx(site, tmp_path) as port:
            server = Server("nginx", port, tmp_path / "error.log", 0)
            names = [server.get(f"/ml/{path}").body.decode() for path in paths]
        echo.shutdown()

    assert ["churn", "price", "risk", "none", "none"] == names
