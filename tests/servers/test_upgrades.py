"""Requests that offer an upgrade to HTTP/2, as Java's HttpClient sends, to `modelgate serve`."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httptools
import pytest
import skops.io

from support.servers import Server, run_server
from support.waiting import SOON

COMMAND = ["-c", "from modelgate.cli import main; main()", "serve", "wine.skops", "--keys", "open"]
PATH = "/deployments/wine/predict"


@pytest.fixture(scope="module")
def serving(wine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run `modelgate serve` where uvicorn would use httptools, which loses the body of such a request."""
    assert httptools.HttpRequestParser
    folder = tmp_path_factory.mktemp("serve")
    skops.io.dump(wine[0], folder / "wine.skops")
    with run_server("serve", [*COMMAND, "--port", "PORT"], folder, cwd=folder) as server:
        yield server


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_body_of_a_request_that_offers_http2_is_read(
    serving: Server, wine_row: dict[str, Any], chunked: bool
) -> None:
    """The header fields are those of Java 17."""
    body = json.dumps(wine_row).encode()
    framing = b"Transfer-encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    head = (
        b"POST %s HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n%s\r\nHost: 127.0.0.1:%d\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\n"
        b"User-Agent: Java-http-client/17.0.15\r\nContent-Type: application/json\r\n\r\n"
        % (PATH.encode(), framing, serving.port)
    )
    with socket.create_connection(("127.0.0.1", serving.port), SOON) as connection:
        connection.sendall(head + (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body))
        status = connection.makefile("rb").readline()

    assert b"HTTP/1.1 200 OK\r\n" == status


def test_java_client_gets_predictions(serving: Server, wine_row: dict[str, Any]) -> None:
    if shutil.which("javac") is None:
        pytest.skip("Java is not installed: no javac on PATH")
    url = f"http://127.0.0.1:{serving.port}{PATH}"
    command = ["java", str(Path(__file__).with_name("Predict.java")), url, json.dumps(wine_row)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SOON)

    expected = serving.post(PATH, wine_row, {}).json()["prediction"]
    assert "" == done.stderr
    answers = [line.partition(" ") for line in done.stdout.splitlines()]
    assert [("200", expected)] * 2 == [
        (status, json.loads(answer)["prediction"]) for status, _, answer in answers
    ]
