"""Virtual environments for programs that do not work with the libraries of the tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import SOON


def make_environment(cache: pytest.Cache, name: str, requirements: list[str]) -> Path:
    """Return the folder of programs of an environment with *requirements*, which later runs use again."""
    folder = Path(cache.mkdir(name))
    programs, complete = folder / "bin", folder / "complete"
    if complete.exists() and complete.read_text() == str(requirements):
        return programs
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
    python = programs / "python"
    if shutil.which("uv") is not None:  # takes a tenth of the CPU time
        install = ["uv", "pip", "install", "--quiet", "--python", python]
    else:
        # pip would compile every module. Python compiles only those that are imported.
        install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    done = subprocess.run([*install, *requirements], capture_output=True, text=True, timeout=4 * SOON)
    if done.returncode:
        pytest.skip(f"pip cannot install {', '.join(requirements)}:\n{done.stderr}")
    complete.write_text(str(requirements))
    return programs
