"""Type checks of the public API with user programs.

The programs in this folder are checked by mypy, not run. Each asserts types with `assert_type`, and marks lines that
mypy must reject with `type: ignore[…]`. An unused mark is an error.
"""

import subprocess
import sys
from pathlib import Path

from support.servers import ROOT
from support.waiting import SOON

PROGRAMS = sorted(path for path in Path(__file__).parent.glob("*.py") if path != Path(__file__))


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
