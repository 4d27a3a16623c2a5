"""The example apps, started as their READMEs say."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from servers.serving import BEARER, PREDICT, ROOT, WINE, Server, serving

ASKED = {"deployment": "wine", "input_data": WINE}


@pytest.mark.parametrize("app", ["starlette", "flask"])
def test_key_of_environment(tmp_path: Path, app: str) -> None:
    """The app listens on PORT and takes the key of MODELGATE_DEMO_KEY."""
    with serving(app, [f"examples/{app}_app/app.py"], tmp_path) as server:
        answer = server.post(PREDICT, ASKED)

    assert (answer.status, answer.json()["predictions"]) == (200, ["cultivar-1"])


@pytest.mark.parametrize("app", ["starlette", "flask"])
def test_printed_command(tmp_path: Path, app: str) -> None:
    """Without a key in the environment the app makes one, and prints a command that works."""
    with serving(app, ["-m", f"examples.{app}_app"], tmp_path, key=None) as server:
        status, told = run(printed_command(server), server)

        assert server.post(PREDICT, ASKED, BEARER).status == 401
    assert status == 200
    assert told["predictions"] == ["cultivar-1"]


def test_start_page_command(tmp_path: Path) -> None:
    """The commands of the start page work in a shell that has the key."""
    with serving("page", ["examples/starlette_app/app.py"], tmp_path) as server:
        page = server.get("/").body.decode()

    assert page.count("-H &quot;Authorization: Bearer $MODELGATE_DEMO_KEY&quot;") == 3
    assert page.count(f"curl http://127.0.0.1:{server.port}/ml/api/predict") == 3
    assert page.count('/console">Ask it in the browser</a>') == 3


def printed_command(server: Server) -> list[str]:
    """The command, as a shell would read it."""
    lines = server.log.read_text("utf-8").splitlines()

    assert f"Start page: http://127.0.0.1:{server.port}/" in lines
    assert lines[1].startswith(
        f"Console: http://127.0.0.1:{server.port}/ml/deployments/wine/console, with the key "
    )
    return shlex.split(next(line for line in lines if line.startswith("curl ")))


def run(command: list[str], server: Server) -> tuple[int, dict[str, object]]:
    """What *command* is answered: by curl, or where there is none by the same request."""
    if shutil.which("curl"):
        output = subprocess.run(
            [*command, "--silent", "--noproxy", "*", "--max-time", "20", "--write-out", "\n%{http_code}"],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
        ).stdout
        body, _, status = output.rpartition("\n")
        return int(status), json.loads(body)
    headers = [command[at + 1] for at, part in enumerate(command) if part == "-H"]
    answer = server.post(
        PREDICT,
        json.loads(command[command.index("-d") + 1]),
        dict(header.split(": ", 1) for header in headers),
    )
    return answer.status, answer.json()
