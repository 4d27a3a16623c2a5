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

ROWS = 40_000
APP = """
from pathlib import Path
from modelgate import Deployment, Gate
from modelgate.models import ModelPackage

def create_gate():
    package = ModelPackage.load(Path(__file__).with_name("churn.mgpkg"))
    return Gate([Deployment("churn", package), Deployment("other", package)], keys="open")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    rows = pandas.DataFrame({"age": np.arange(40.0), "income": np.arange(40.0) % 7})
    model = LogisticRegression().fit(rows, rows["age"] > 20)
    ModelPackage.from_estimator(model, rows, name="churn").save(folder / "churn.mgpkg")
    folder.joinpath("app.py").write_text(APP)
    lines = (f"{row % 80},{row % 7}\n" if row % 999 else "old,1\n" for row in range(ROWS))
    folder.joinpath("big.csv").write_text("age,income\n" + "".join(lines))
    return folder


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from modelgate.cli import main; main()", "score", "big.csv", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


def test_score_with_workers_gives_the_same_output_after_a_kill(folder: Path) -> None:
    whole, killed = folder / "whole.csv", folder / "killed.csv"
    options = ["--model", "churn.mgpkg", "--rows", "500"]
    summary, errors = (
        one := start(folder, *options, "--workers", "1", "-o", whole.name, "--json")
    ).communicate(timeout=SOON)
    run = start(folder, *options, "--workers", "2", "-o", killed.name)
    wait_until(checkpoint_path(killed).exists)
    workers = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=SOON)
    rest = start(folder, *options, "--workers", "2", "-o", killed.name, "--json")
    resumed, _ = rest.communicate(timeout=SOON)

    assert (1, -signal.SIGKILL, 1) == (one.returncode, run.returncode, rest.returncode), errors
    assert (ROWS, 41) == (json.loads(summary)["rows"], json.loads(summary)["refused"])
    assert 0 < json.loads(resumed)["resumed_at"] < ROWS
    assert whole.read_bytes() == killed.read_bytes()
    assert (
        whole.with_name("whole.errors.csv").read_bytes() == killed.with_name("killed.errors.csv").read_bytes()
    )
    assert 2 <= len(workers)
    wait_until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))


def test_score_with_a_gate_gives_the_output_of_its_model(folder: Path) -> None:
    done = start(
        folder, "--gate", "app:create_gate", "--deployment", "churn", "--workers", "1", "-o", "gate.csv"
    )
    _, errors = done.communicate(timeout=SOON)
    (other := start(folder, "--model", "churn.mgpkg", "--workers", "1", "-o", "model.csv")).communicate(
        timeout=SOON
    )

    assert (1, 1) == (done.returncode, other.returncode), errors
    assert (folder / "gate.csv").read_bytes() == (folder / "model.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gate", "app:create_gate"], "deployment must be one of churn, other (got none)"),
        (["--gate", "app:missing"], "app:missing: AttributeError"),
        (["--gate", "app:create_gate", "--deployment", "chrun"], "There is no deployment 'chrun'"),
        (["--model", "app.py"], "app.py"),
        (["--model", "churn.mgpkg", "--intervals", "80"], "the model of churn is not calibrated"),
    ],
)
def test_score_reports_what_a_worker_cannot_use_once(
    folder: Path, arguments: list[str], message: str
) -> None:
    run = start(folder, *arguments, "--workers", "2", "-o", "unused.csv")
    _, errors = run.communicate(timeout=SOON)

    assert 2 == run.returncode, errors
    assert 1 == errors.count(message), errors
    assert "Traceback" not in errors


SCRIPT = """
from modelgate.bulk import score_file

if __name__ == "__main__":
    for overwrite in (False, True):
        scored = score_file(
            "big.csv", "script.csv", "app:create_gate", deployment="churn", workers=2, overwrite=overwrite
        )
        print(scored.output, scored.errors, scored.scored, scored.rejected, *scored.versions)
"""


def test_score_file_gives_the_output_of_the_command(folder: Path) -> None:
    folder.joinpath("script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=SOON
    )
    command = start(folder, "--model", "churn.mgpkg", "--workers", "1", "-o", "command.csv")
    command.communicate(timeout=SOON)

    assert [f"script.csv script.errors.csv {ROWS - 41} 41 1"] * 2 == done.stdout.splitlines(), done.stderr
    assert (folder / "command.csv").read_bytes() == (folder / "script.csv").read_bytes()
