"""Type checks of the public API with user programs.

The programs in this folder are checked by mypy and pyright, not run. Each asserts types with `assert_type`, and marks
lines that mypy must reject with `type: ignore[…]`. mypy reports unused marks.
"""

import json
import subprocess
import sys
from pathlib import Path

from support.servers import ROOT
from support.waiting import SOON

PROGRAMS = sorted(path for path in Path(__file__).parent.glob("*.py") if path != Path(__file__))


def test_user_programs_pass_pyright(tmp_path):
    """basedpyright is pyright with its own copy of Node.js. In the mode *standard* both have the same rules."""
    options = {"typeCheckingMode": "standard", "include": list(map(str, PROGRAMS)), "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(options))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--project", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * SOON,
    )

    assert "0 errors, 0 warnings, 0 notes\n" == done.stdout, done.stdout + done.stderr


def test_user_programs_type_check(tmp_path):
    options = ["--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache/users'}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *PROGRAMS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * SOON,
    )

    assert f"Success: no issues found in {len(PROGRAMS)} source files\n" == done.stdout, done.stderr
