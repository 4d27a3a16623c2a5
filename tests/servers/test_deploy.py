"""The files of the page on systemd, nginx and Kubernetes."""

import http.client
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import uvicorn
import yaml

from modelgate import Gate
from modelgate.testing import Client
from support.nginx import run_nginx
from support.servers import BEARER, ROOT, post, run_server, send_request
from support.waiting import SOON, wait_until

FILES = ROOT / "examples/deploy"
PAGE = (ROOT / "docs/cookbook/deploy.md").read_text()
MANIFESTS = list(yaml.safe_load_all((FILES / "kubernetes.yaml").read_text()))
DOCKERFILE = (ROOT / "examples/docker/Dockerfile").read_text()


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("gunicorn.conf.py", "py"),
        ("churn.service", "ini"),
        ("nginx.conf", "nginx"),
        ("kubernetes.yaml", "yaml"),
    ],
)
def test_page_shows_the_files(name: str, language: str) -> None:
    assert f"```{language}\n{(FILES / name).read_text()}```" in PAGE


# nginx in front of gunicorn


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    command = ["-m", "gunicorn", "--config", "examples/deploy/gunicorn.conf.py", "--bind", "127.0.0.1:PORT"]
    command += ["--workers", "1", "--pythonpath", "tests", "servers.proxied_app:wsgi"]
    folder = tmp_path_factory.mktemp("deploy")
    site = (FILES / "nginx.conf").read_text()
    with (
        run_server("gunicorn", command, folder) as server,
        run_nginx(site.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"), folder) as nginx_port,
    ):
        yield nginx_port


def call(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
    # From another address than nginx, which the gate trusts.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SOON, source_address=("127.0.0.2", 0))
    try:
        if method == "POST":
            return post(connection, path, body or b"", {**BEARER, **headers})
        return send_request(connection, method, path, None, headers)
    finally:
        connection.close()


def test_callers_behind_nginx_cannot_invent_their_address(port: int) -> None:
    """Neither of the two fields that name it is passed on as the caller sent it."""
    invented = [{"Forwarded": "for=192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}, {}, {}]
    answers = [call(port, "POST", "/ml/simple/m", b'[{"a": 1}]', **fields) for fields in invented]

    assert [200, 200, 200, 429] == [answer.status for answer in answers]
    assert all(re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"]) for answer in answers)


def test_gate_rejects_large_bodies_itself(port: int) -> None:
    """In the caller's format, which nginx does not know, unless gunicorn closes the connection too early."""
    rejected, closed, seen = (413, "application/json"), (502, "text/html"), set()

    def is_rejected() -> bool:
        answer = call(port, "POST", "/ml/simple/m", b" " * 2_000_000)
        seen.add((answer.status, answer.headers["content-type"]))
        return rejected in seen

    wait_until(is_rejected)

    assert seen <= {rejected, closed}


def test_nginx_passes_health_checks_and_hides_metrics(port: int) -> None:
    answers = [call(port, "GET", f"/ml/{path}") for path in ("health/live", "health/startup", "metrics")]

    assert [200, 200, 404] == [answer.status for answer in answers]
    assert "text/html" == answers[2].headers["content-type"]


# systemd


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """With the programs that it names in place."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "churn.service"
    program = shutil.which("true")
    unit.write_text(
        (FILES / "churn.service").read_text().replace("/srv/churn/.venv/bin/uvicorn", str(program))
    )
    result = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert (0, "") == (result.returncode, result.stderr)


def test_uvicorn_accepts_the_options_of_the_unit() -> None:
    unit = (FILES / "churn.service").read_text().replace("\\\n", "")
    program, *arguments = shlex.split(unit.partition("ExecStart=")[2].partition("\n")[0])
    options = uvicorn.main.make_context("uvicorn", arguments).params

    assert "uvicorn" == Path(program).name
    assert ("app:app", 8000, 65, 35) == tuple(
        options[name] for name in ("app", "port", "timeout_keep_alive", "timeout_graceful_shutdown")
    )


# Kubernetes


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_kubernetes_accepts_the_manifests(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_kubernetes_names_match() -> None:
    """The service and the budget select the pods; ports and probes are those of the container."""
    deployment, service, budget = MANIFESTS
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [port] = container["ports"]

    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert labels == budget["spec"]["selector"]["matchLabels"]
    assert f"EXPOSE {port['containerPort']}" in DOCKERFILE
    assert port["name"] == service["spec"]["ports"][0]["targetPort"]
    client = Client(Gate(keys="open").wsgi)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container[probe]["httpGet"]

        assert port["name"] == get["port"]
        assert 200 == client.get(get["path"].removeprefix("/ml")).status
