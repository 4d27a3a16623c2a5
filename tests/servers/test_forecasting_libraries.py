"""A gate serves the fitted models of forecasting libraries, which need an earlier pandas than the other tests."""

import os
import subprocess
import tomllib

import pytest

from support.environments import make_environment
from support.servers import ROOT
from support.waiting import SOON

LIBRARIES = ["skforecast==0.26.0", "statsforecast==2.1.1"]


@pytest.fixture(scope="module")
def python(request):
    """Python of an environment with the libraries, and with the dependencies of modelgate."""
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    requirements = ["pytest", *LIBRARIES, *core]
    return make_environment(request.config.cache, "forecasting", requirements) / "python"


def test_gates_return_the_predictions_of_the_libraries(python):
    options = ["-q", "--noconftest", "-c", os.devnull, "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    done = subprocess.run(
        [python, "-m", "pytest", *options, ROOT / "tests" / "servers" / "forecasting_libraries.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=SOON,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
