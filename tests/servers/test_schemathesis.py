"""Schemathesis finds no difference between a running gate and its OpenAPI document."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.environments import make_environment
from support.servers import KEY, run_server
from support.waiting import SOON

VERSION = "schemathesis==4.32.5"
OPTIONS = [
    # The phase of examples combines those of single members at random, and calls no hook that filters.
    *("--phases", "coverage,fuzzing"),
    *("--max-examples", "4", "--generation-deterministic"),
    # The hooks leave out many cases.
    *("--suppress-health-check", "all", "--continue-on-failure", "--no-color"),
]
CONFIGURATION = f"""
[[operations]]
include-path = "/api/predict/{{key}}"
parameters = {{ key = "{KEY}" }}
"""


@pytest.fixture(scope="module")
def program(request: Any) -> Path:
    """Schemathesis in an environment of its own: it needs a later version of rich than modelgate."""
    return make_environment(request.config.cache, "schemathesis", [VERSION]) / "st"


@pytest.mark.parametrize("deployment", ["churn", "both"])
def test_schemathesis_finds_nothing(program: Path, deployment: str, tmp_path: Path) -> None:
    """In any dialect. A gate with one deployment has all of their paths."""
    command = ["-m", "uvicorn", f"servers.documented_app:{deployment}_gate.asgi", "--app-dir", "tests"]
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    with run_server(deployment, [*command, "--port", "PORT"], tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}"
        arguments = [f"{url}/deployments/{deployment}/openapi.json", "--url", url]
        # Without one of the headers, schemathesis sends another key in it.
        for header in (f"Authorization: Bearer {KEY}", f"x-api-key: {KEY}"):
            arguments += ["--header", header]
        done = subprocess.run(
            [program, "run", *arguments, *OPTIONS],
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
                "PYTHONPATH": str(Path(__file__).parent),
                "MODELGATE_KEY": KEY,
            },
            capture_output=True,
            text=True,
            timeout=4 * SOON,
        )

    assert 0 == done.returncode, done.stdout + done.stderr
