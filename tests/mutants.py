"""Mutation tests of pure modules with mutmut: ``python tests/mutants.py [MODULE…]``, as in ``limiting.windows``.

mutmut changes one expression at a time, and a test must notice each change. It leaves decorated functions as they
are. Each module is tested in a copy of the project below ``.mutants/`` with its own tests only, because all tests
would take hours. The changes that no test noticed are listed, then the share of those that one did. Changes that
`tests/equivalent_mutants.py` explains are left out of the list, but not of the share.
"""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from equivalent_mutants import EQUIVALENT

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".mutants"
TESTS = {
    "limiting.windows": ["unit/test_windows.py"],
    "limiting.decision": ["unit/test_windows.py"],
    "scoring.layers.rounding": ["unit/test_rounding.py", "unit/test_intervals.py"],
    "conformal": ["unit/test_conformal.py"],
    "models.calibration": ["unit/test_intervals.py"],
    "keys.digest": ["unit/test_keys.py"],
    "keys.generate": ["unit/test_keys.py"],
    "keys.own_form": ["unit/test_keys.py"],
    "keys.principal": ["unit/test_keys.py"],
    "schema.coerce": ["unit/test_coercion.py", "unit/test_validation_report.py"],
    "schema.datetimes": ["unit/test_datetime_parsing.py", "unit/test_datetimes.py"],
    "schema.names": ["unit/test_names.py", "unit/test_column_names.py"],
    "schema.row_validator": ["unit/test_schema.py", "unit/test_validation_report.py"],
    "schema.tensors": ["unit/test_tensors.py"],
    "dialects.tensors": ["unit/test_tensor_codec.py", "dialects/test_open_inference.py"],
    "dialects.simple": ["dialects/test_simple.py"],
    "dialects.plexe": ["dialects/test_plexe.py"],
    "dialects.mlclever": ["dialects/test_mlclever.py"],
}
NOTICED = (1, 3, 24, 36)  # exit codes: a test failed, pytest was interrupted, out of time


def run_mutmut(module):
    """Run mutmut for *module*. Return the exit code of its tests for each change."""
    path = Path("src/modelgate", *module.split(".")).with_suffix(".py")
    folder = FOLDER / module
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("docs", "src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "README.md"):
        shutil.copy(ROOT / name, folder)
    options = {
        "source_paths": ["src"],
        "only_mutate": [str(path)],
        "also_copy": ["conftest.py", "docs"],
        # Running out of time counts as noticed. By default, this happens on a busy machine, too.
        "timeout_multiplier": 60,
        "pytest_add_cli_args_test_selection": [f"tests/{test}" for test in TESTS[module]],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    settings = (ROOT / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text("\n".join([settings, "[tool.mutmut]", *lines, ""]))
    with (folder / "log").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "mutmut", "run", "--max-children", "2"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
        )
    return json.loads((folder / "mutants" / f"{path}.meta").read_text())["exit_code_by_key"]


def changed_line(module, name):
    """Return the line of *module* that the mutant *name* has changed, as changed."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    path = Path("src/modelgate", *module.split(".")).with_suffix(".py")
    with contextlib.chdir(FOLDER / module):
        lines = get_diff_for_mutant(name, path=path).splitlines()[2:]
    return next(line[1:].strip() for line in lines if line.startswith("+"))


if __name__ == "__main__":
    for module in sys.argv[1:] or TESTS:
        codes = run_mutmut(module)
        missed = [changed_line(module, name) for name, code in codes.items() if code not in NOTICED]
        unexplained = [line for line in missed if line not in EQUIVALENT.get(module, {})]
        noticed, equivalent = len(codes) - len(missed), len(missed) - len(unexplained)
        share = f"{module}: {noticed} of {len(codes)} changes noticed, {noticed / len(codes):.0%}; {equivalent} explained"
        print(*unexplained, share, sep="\n", flush=True)  # noqa: T201
