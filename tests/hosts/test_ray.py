"""A gate on Ray Serve, and scoring of files on Ray, in an environment of their own.

Ray limits the versions of many libraries.
"""

import json
import os
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

from support.environments import make_environment
from support.servers import ROOT, find_free_port
from support.waiting import SOON, wait_until

SCORE = """
from modelgate.bulk import score_file
from modelgate import Deployment, Gate, Schema

def create_gate():
    model = lambda table: table["age"] * 2
    return Gate([Deployment("churn", model, schema=Schema.of(age=float))], keys="open")

if __name__ == "__main__":
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    scored = score_file("big.csv", "out.csv", create_gate, engine="ray", batch_rows=100)
    print(scored.scored, scored.rejected)
"""

SETTINGS = {
    "PYTHONPATH": str(ROOT / "src"),
    # Not the cluster that RAY_ADDRESS or a file below /tmp/ray names.
    "RAY_ADDRESS": "local",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    # The defaults are too short for a busy machine.
    "RAY_agent_register_timeout_ms": str(1000 * SOON),
    "RAY_gcs_server_port_wait_time_s": str(SOON),
    "RAY_worker_register_timeout_seconds": str(SOON),
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(SOON),
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": str(SOON),
}
NOT_STARTED = "The current node timed out during startup"
"""Error of a node that has not started within 30 s, a limit that no setting changes."""


@pytest.fixture(scope="module")
def python(request):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["optional-dependencies"]["ray"], "redis", *project["dependencies"]]
    return make_environment(request.config.cache, "ray", requirements) / "python"


@pytest.fixture
def run(python, tmp_path):
    """Run a program on a Ray cluster of its own, and return its last line. Nothing of the cluster remains."""

    def run(*command):
        # Sockets of Ray are in this folder, and the path of a socket is limited to 107 bytes.
        with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
            environ = {**os.environ, **SETTINGS, "RAY_TMPDIR": folder, "HOME": folder}
            done = subprocess.run(
                [python, *command],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                timeout=4 * SOON,
            )
            wait_until(lambda: not find_processes(folder))
        return done

    def run_until_started(*command):
        for _ in range(5):
            done = run(*command)
            if NOT_STARTED not in done.stderr:
                break

        assert 0 == done.returncode, done.stderr[-4000:]
        return done.stdout.splitlines()[-1]

    return run_until_started


def find_processes(folder):
    """Return the command lines that contain *folder*, as those of Ray's own processes do."""
    return [line for line in map(read_command, Path("/proc").glob("[0-9]*")) if folder.encode() in line]


def read_command(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # It has ended.
        return b""


def test_ray_serve_serves_a_gate(run, redis_server):
    """With keys, limits that are exact over the replicas, and updates under load."""
    program = ROOT / "tests/hosts/ray_program.py"
    seen = json.loads(run(program, str(find_free_port()), redis_server.uri))

    status, version, body = seen["predicts"]
    assert (200, "1", 42.0) == (status, version, json.loads(body)["predictions"][0]["prediction"])
    assert (401, {"ready": True}) == (seen["without a key"], seen["ready"])
    assert [200] == seen["statuses during the update"]
    assert {*seen["versions during the update"]} <= {"1", "2"}
    assert [200, "2"] == seen["after the update"]
    assert ("failed", [200, "2"]) == (seen["broken update"], seen["after the broken update"])
    assert [[200, 25], [429, 15]] == seen["limited"]


def test_ray_scores_a_file(run, tmp_path):
    tmp_path.joinpath("big.csv").write_text("age\n" + "".join(f"{row}\n" for row in range(999)) + "old\n")
    tmp_path.joinpath("score.py").write_text(SCORE)

    assert "999 1" == run("score.py")
    predictions = [f"{2.0 * row}" for row in range(999)]
    assert ["prediction", *predictions, '""'] == tmp_path.joinpath("out.csv").read_text().splitlines()
