"""The script of the console: its modules, tested by node's own test runner, and how they become one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from modelgate import console
from support.servers import ROOT

MODULES = sorted(Path(console.__file__).parent.glob("*.mjs"))
OLDEST_NODE = 20
"""The first version of node whose test runner has a clock that tests can turn."""


@pytest.mark.slow
def test_modules_of_the_console():
    """Their tests are in tests/console."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian's npm brings it)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.match(r"v(\d+)", version)[1]) < OLDEST_NODE:
        pytest.skip(f"node {version.strip()} is older than {OLDEST_NODE}")
    tests = sorted(map(str, (ROOT / "tests/console").glob("*.test.mjs")))
    ran = subprocess.run([node, "--test", *tests], capture_output=True, text=True)

    assert 0 == ran.returncode, ran.stdout
    assert len(tests) > 5


def test_modules_become_one_script():
    """In one scope, so no name is declared twice, and nothing is left of imports and exports."""
    script = console._bundle("page.mjs")
    source = "".join(module.read_text("utf-8") for module in MODULES)
    declared = re.findall(
        r"^(?:export )?(?:async )?(?:function\*?|const|let|class) ([\w$]+)", source, re.MULTILINE
    )

    assert [] == [name for name in set(declared) if declared.count(name) > 1]
    assert [] == [name for name in declared if not re.search(rf" {re.escape(name)}(?![\w$])", script)]
    assert [] == re.findall(r"^(?:import|export) .*", script, re.MULTILINE)


def test_modules_have_no_unused_imports():
    """Without a linter for JavaScript, nothing else would notice them."""
    unused = []
    for module in MODULES:
        text = module.read_text("utf-8")
        for names in re.findall(r"^import \{ (.*) \} from", text, re.MULTILINE):
            body = re.sub(r"^import .*$", "", text, flags=re.MULTILINE)
            unused += [
                (module.name, name)
                for name in names.split(", ")
                if not re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", body)
            ]

    assert [] == unused
