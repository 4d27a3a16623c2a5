"""A gate on Ray Serve, and scoring of files and datasets on Ray, in an environment of their own.

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

SETTINGS = {
    "PYTHONPATH": str(ROOT / "src"),
    # Not the cluster that RAY_ADDRESS or a file below /tmp/ray names.
    "RAY_ADDRESS": "local",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    # By default, other processes of a busy machine run first.
    "RAY_worker_niceness": "0",
    # The defaults are too short for a busy machine.
    "RAY_agent_register_timeout_ms": str(1000 * SOON),
    "RAY_gcs_server_port_wait_time_s": str(SOON),
    "RAY_worker_register_timeout_seconds": str(SOON),
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(SOON),
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": str(SOON),
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": str(SOON),
    "RAY_SERVE_MULTIPLEXED_MODEL_ID_MATCHING_TIMEOUT_S": str(SOON),
    # The defaults are too long for a test of autoscaling.
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.2",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.2",
}
NOT_STARTED = "The current node timed out during startup", "HTTP proxies not available after"
"""Errors of a node that has not started within 30 s, or a proxy within 60 s, limits that no setting changes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def seen(request, folder, redis_server, postgres):
    """What `ray_program` has observed on a cluster of its own, of which nothing remains."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    databases = [*extras["redis"], *extras["sql"], "psycopg[binary]"]
    requirements = [*extras["ray"], *databases, *project["dependencies"]]
    python = make_environment(request.config.cache, "ray", requirements) / "python"
    folder.joinpath("big.csv").write_text("age\n" + "".join(f"{row}\n" for row in range(999)) + "old\n")
    for _ in range(5):
        addresses = [str(find_free_port()), redis_server.uri, postgres.clear_tables()]
        done = run([python, ROOT / "tests/hosts/ray_program.py", *addresses], folder)
        if not any(error in done.stderr for error in NOT_STARTED):
            break

    assert 0 == done.returncode, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def run(command, cwd):
    """Run *command* and wait until all of its processes have ended."""
    # Sockets of Ray are in this folder, and the path of a socket is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        environ = {**os.environ, **SETTINGS, "RAY_TMPDIR": folder, "HOME": folder}
        done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=4 * SOON)
        wait_until(lambda: not find_processes(folder), interval=0.2)
    return done


def find_processes(folder):
    """Return the command lines that contain *folder*, as those of Ray's own processes do."""
    return [line for line in map(read_command, Path("/proc").glob("[0-9]*")) if folder.encode() in line]


def read_command(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # It has ended.
        return b""


def test_gate_predicts_below_a_prefix(seen):
    assert ([200, "1", 42.0], 401) == (seen["predicts"], seen["without a key"])


def test_multiplexing_sends_requests_to_replicas_that_have_the_model(seen):
    assert (0, 0) == (seen["loads at the start"], seen["loads of models that replicas have"])


def test_limits_are_exact_over_replicas(seen):
    """By a key of the database, which the program then revokes."""
    assert [[200, 25], [429, 15]] == seen["limited"]


def test_autoscaling_and_updates_fail_no_request(seen):
    assert ([200], ["1", "2"]) == (seen["statuses"], seen["versions"])


def test_update_serves_the_models_of_the_registry_and_of_the_application(seen):
    """The registry is read before models are loaded, so that the gate's own model is not loaded."""
    assert [200, "2", 42.0, 63.0] == seen["after the update"]
    assert ["a@2", "b@1", "b@3"] == seen["loads of the update"]


def test_replica_that_is_not_ready_is_replaced(seen):
    """The program waits until a new replica answers."""
    assert 503 == seen["not ready"]


def test_update_to_a_model_that_cannot_be_loaded_changes_nothing(seen):
    assert ("failed", [200, "2"]) == (seen["broken update"], seen["after the broken update"])


def test_file_is_scored(seen, folder):
    assert [999, 1] == seen["scored"]
    predictions = [f"{2.0 * row}" for row in range(999)]
    assert ["prediction", *predictions, '""'] == folder.joinpath("out.csv").read_text().splitlines()


def test_dataset_is_scored(seen):
    """Although some batches have no scored row, from which the types of the columns would follow."""
    rejected = [[row, None, "age must be a number"] for row in range(100)]
    assert [["id", "int64"], ["prediction", "double"], ["error", "string"]] == seen["schema"]
    assert [*rejected, *([row, 2.0 * row, None] for row in range(100, 200))] == seen["dataset"]


def test_error_of_a_dataset_contains_that_of_the_gate(seen):
    assert "MissingColumns: missing input columns: age" in seen["missing column"]
