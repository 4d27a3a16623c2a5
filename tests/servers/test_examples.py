"""The example apps, started as in their READMEs."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import BEARER, PREDICT, ROOT, WINE, Server, run_server
from support.waiting import SOON

REQUEST = {"deployment": "wine", "input_data": WINE}


@pytest.fixture(scope="module", params=["starlette", "flask"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run an example app, with port and key in the environment."""
    app = request.param
    with run_server(app, [f"examples/{app}_app/app.py"], tmp_path_factory.mktemp(app)) as server:
        yield server


def test_example_takes_port_and_key_from_the_environment(server: Server) -> None:
    answer = server.post(PREDICT, REQUEST)

    assert (answer.status, answer.json()["predictions"]) == (200, ["cultivar-1"])


@pytest.mark.parametrize("app", ["starlette", "flask"])
def test_printed_command_works(tmp_path: Path, app: str) -> None:
    """Without a key in the environment the app generates one."""
    with run_server(app, ["-m", f"examples.{app}_app"], tmp_path, key=None) as server:
        status, answer = run_curl(read_printed_command(server), server)

        assert server.post(PREDICT, REQUEST, BEARER).status == 401
    assert status == 200
    assert answer["prediction"] == "cultivar-1"


def test_start_page_shows_predictions_and_commands(server: Server) -> None:
    page = server.get("/").body.decode()

    assert page.count("-H &quot;Authorization: Bearer $MODELGATE_KEY&quot;") == 5
    assert page.count(f"curl http://127.0.0.1:{server.port}/ml/deployments/") == 5
    assert page.count('/console">Open the console</a>') == 5
    assert ["17.1", "8.2", "12.6"] == re.findall(r'class="degrees">([\d.]+) ', page)
    assert re.search(r"About 4\d\d bottles of Barolo will be sold", page)


def read_printed_command(server: Server) -> list[str]:
    """Return the curl command as a shell would parse it."""
    lines = server.log.read_text("utf-8").splitlines()

    assert f"Start page: http://127.0.0.1:{server.port}/" in lines
    assert lines[1].startswith(
        f"Console: http://127.0.0.1:{server.port}/ml/deployments/wine/console, with the key "
    )
    return shlex.split(next(line for line in lines if line.startswith("curl ")))


def run_curl(command: list[str], server: Server) -> tuple[int, dict[str, object]]:
    """Run a curl command, or send the same request if curl is not installed; return status and answer."""
    if shutil.which("curl"):
        output = subprocess.run(
            [
                *command,
                "--silent",
                "--noproxy",
                "*",
                "--max-time",
                str(SOON),
                "--write-out",
                "\n%{http_code}",
            ],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
        ).stdout
        body, _, status = output.rpartition("\n")
        return int(status), json.loads(body)
    headers = [command[index + 1] for index, part in enumerate(command) if part == "-H"]
    answer = server.post(
        PREDICT,
        json.loads(command[command.index("-d") + 1]),
        dict(header.split(": ", 1) for header in headers),
    )
    return answer.status, answer.json()
