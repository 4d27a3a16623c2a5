"""A gate on Ray Serve, and scoring of files on Ray, in an environment of their own.

Ray limits the versions of many libraries.
"""

import json
import os
import subprocess
import tomllib

import pytest

from support.environments import make_environment
from support.servers import ROOT, find_free_port
from support.waiting import SOON

SCORE = """
from modelgate.bulk import score_file
from modelgate import Deployment, Gate, Schema

def create_gate():
    model = lambda table: table["age"] * 2
    return Gate([Deployment("churn", model, schema=Schema.of(age=float))], keys="open")

if __name__ == "__main__":
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    scored = score_file("big.csv", "out.csv", create_gate, engine="ray", batch_rows=100)
    print(scored.scored, scored.rejected)
"""


@pytest.fixture(scope="module")
def python(request):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["optional-dependencies"]["ray"], "redis", *project["dependencies"]]
    return make_environment(request.config.cache, "ray", requirements) / "python"


def run(python, *command, folder):
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # The defaults are too short for a busy machine.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(SOON),
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": str(SOON),
    }
    done = subprocess.run(
        [python, *command], cwd=folder, env=environ, capture_output=True, text=True, timeout=4 * SOON
    )

    assert 0 == done.returncode, done.stderr[-4000:]
    return done.stdout.splitlines()[-1]


def test_ray_serve_serves_a_gate(python, redis_server, tmp_path):
    """With keys, limits that are exact over the replicas, and updates under load."""
    program = ROOT / "tests/hosts/ray_program.py"
    seen = json.loads(run(python, program, str(find_free_port()), redis_server.uri, folder=tmp_path))

    status, version, body = seen["predicts"]
    assert (200, "1", 42.0) == (status, version, json.loads(body)["predictions"][0]["prediction"])
    assert (401, {"ready": True}) == (seen["without a key"], seen["ready"])
    assert [200] == seen["statuses during the update"]
    assert {*seen["versions during the update"]} <= {"1", "2"}
    assert [200, "2"] == seen["after the update"]
    assert ("failed", [200, "2"]) == (seen["broken update"], seen["after the broken update"])
    assert [[200, 25], [429, 15]] == seen["limited"]


def test_ray_scores_a_file(python, tmp_path):
    tmp_path.joinpath("big.csv").write_text("age\n" + "".join(f"{row}\n" for row in range(999)) + "old\n")
    tmp_path.joinpath("score.py").write_text(SCORE)

    assert "999 1" == run(python, "score.py", folder=tmp_path)
    predictions = [f"{2.0 * row}" for row in range(999)]
    assert ["prediction", *predictions, '""'] == tmp_path.joinpath("out.csv").read_text().splitlines()
