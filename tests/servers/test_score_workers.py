"""``modelgate score`` with worker processes, without a server."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn.linear_model import LogisticRegression

from modelgate.bulk.checkpoint import checkpoint_path
from modelgate.models import ModelPackage
from support.waiting import SOON, wait_until

ROWS = 8_000
APP = """
import os
import time
from pathlib import Path
from modelgate import Deployment, Gate, Schema
from modelgate.models import ModelPackage

SCHEMA = Schema.of(age=float, income=float)

def multiply(table):
    while table["age"].max() > 4000 and Path("hold").exists():
        time.sleep(0.05)
    return table["age"] * table["income"]

def create_gate():
    return Gate([Deployment(name, multiply, schema=SCHEMA) for name in ("product", "other")], keys="open")

def multiply_in_two_processes(table):
    Path(f"process-{os.getpid()}").touch()
    while len(list(Path().glob("process-*"))) < 2:
        time.sleep(0.05)
    return table["age"] * table["income"]

def create_gate_for_two():
    return Gate([Deployment("product", multiply_in_two_processes, schema=SCHEMA)], keys="open")

def load_gate():
    return Gate([Deployment("churn", ModelPackage.load("churn.mgpkg"))], keys="open")
"""
PRODUCT = ["--gate", "app:create_gate", "--deployment", "product"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    rows = pandas.DataFrame({"age": np.arange(40.0), "income": np.arange(40.0) % 7})
    model = LogisticRegression().fit(rows, rows["age"] > 20)
    ModelPackage.from_estimator(model, rows, name="churn").save(folder / "churn.mgpkg")
    folder.joinpath("app.py").write_text(APP)
    lines = (f"{row},{row % 7}\n" if row % 999 else "old,1\n" for row in range(ROWS))
    folder.joinpath("big.csv").write_text("age,income\n" + "".join(lines))
    return folder


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from modelgate.cli import main; main()", "score", "big.csv", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


def test_score_with_workers_gives_the_same_output_after_a_kill(folder: Path) -> None:
    whole, killed = folder / "whole.csv", folder / "killed.csv"
    options = [*PRODUCT, "--rows", "500"]
    summary, errors = (
        one := start(folder, *options, "--workers", "1", "-o", whole.name, "--json")
    ).communicate(timeout=SOON)
    hold = folder / "hold"
    hold.touch()
    run = start(folder, *options, "--workers", "2", "-o", killed.name)
    wait_until(checkpoint_path(killed).exists)
    workers = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=SOON)
    hold.unlink()
    rest = start(folder, *options, "--workers", "2", "-o", killed.name, "--json")
    resumed, _ = rest.communicate(timeout=SOON)

    assert (1, -signal.SIGKILL, 1) == (one.returncode, run.returncode, rest.returncode), errors
    assert (ROWS, 9) == (json.loads(summary)["rows"], json.loads(summary)["refused"])
    assert 0 < json.loads(resumed)["resumed_at"] < ROWS
    assert whole.read_bytes() == killed.read_bytes()
    assert (
        whole.with_name("whole.errors.csv").read_bytes() == killed.with_name("killed.errors.csv").read_bytes()
    )
    assert 2 <= len(workers)
    wait_until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))


def test_score_with_a_gate_gives_the_output_of_its_model(folder: Path) -> None:
    done = start(folder, "--gate", "app:load_gate", "--workers", "1", "-o", "gate.csv")
    _, errors = done.communicate(timeout=SOON)
    (other := start(folder, "--model", "churn.mgpkg", "--workers", "1", "-o", "model.csv")).communicate(
        timeout=SOON
    )

    assert (1, 1) == (done.returncode, other.returncode), errors
    assert (folder / "gate.csv").read_bytes() == (folder / "model.csv").read_bytes()


def test_all_workers_start_before_the_first_chunk_is_scored(folder: Path) -> None:
    options = ["--gate", "app:create_gate_for_two", "--rows", "500"]
    run = start(folder, *options, "--workers", "2", "-o", "two.csv", "--json")
    summary, errors = run.communicate(timeout=SOON)

    assert 1 == run.returncode, errors
    assert (ROWS, 9) == (json.loads(summary)["rows"], json.loads(summary)["refused"])
    assert 2 == len(list(folder.glob("process-*")))


def test_score_reports_what_no_worker_can_use_once(folder: Path) -> None:
    run = start(folder, "--gate", "app:create_gate", "--workers", "2", "-o", "unused.csv")
    _, errors = run.communicate(timeout=SOON)

    assert 2 == run.returncode, errors
    assert 1 == errors.count("--deployment must be one of product, other (got none)"), errors
    assert "Traceback" not in errors


SCRIPT = """
from modelgate.bulk import score_file

if __name__ == "__main__":
    for overwrite in (False, True):
        scored = score_file(
            "big.csv", "script.csv", "app:create_gate", deployment="product", workers=2, overwrite=overwrite
        )
        print(scored.output, scored.errors, scored.scored, scored.rejected, *scored.versions)
"""


def test_score_file_gives_the_output_of_the_command(folder: Path) -> None:
    folder.joinpath("script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=SOON
    )
    command = start(folder, *PRODUCT, "--workers", "1", "-o", "command.csv")
    command.communicate(timeout=SOON)

    assert [f"script.csv script.errors.csv {ROWS - 9} 9 1"] * 2 == done.stdout.splitlines(), done.stderr
    assert (folder / "command.csv").read_bytes() == (folder / "script.csv").read_bytes()
