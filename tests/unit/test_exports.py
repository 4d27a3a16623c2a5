"""What is public, and what importing it costs."""

import ast
import inspect
import json
import subprocess
import sys

import pytest

import modelgate


def test_all_is_sorted_and_distinct():
    """A list that is sorted shows what was added."""

    assert sorted(set(modelgate.__all__), key=lambda name: (not name.isupper(), name)) == modelgate.__all__


def test_everything_public_exists():
    """Each name exported is there."""

    assert [] == [name for name in modelgate.__all__ if not hasattr(modelgate, name)]


def test_every_error_is_public():
    """Whatever can be raised can be caught by its public name."""
    from modelgate import errors

    assert set(errors.__all__) <= set(modelgate.__all__)


IMPORTING = """
import json, logging, sys, threading
count = len(sys.modules)
before = list(logging.getLogger().handlers)
import modelgate
light = len(sys.modules) - count, [name for name in sys.modules if name.startswith("modelgate")]
from modelgate import *
own = logging.getLogger("modelgate")
print(json.dumps({
    "light": light,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "threads": threading.active_count(),
    "logging": [len(logging.getLogger().handlers) - len(before), len(own.handlers), own.level, own.propagate],
}))
"""


@pytest.fixture(scope="module")
def imported():
    """What a fresh interpreter holds after ``from modelgate import *``, and after ``import modelgate`` alone."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def test_what_is_not_used_is_not_imported(imported):
    """``import modelgate`` alone imports no other module of it, and numpy with none."""

    assert ["modelgate"] == imported["light"][1]
    assert imported["light"][0] < 20


def test_names_are_kept_when_they_are_found():
    """And told before: by ``dir``, and by what is said of one that is not there."""
    with pytest.raises(AttributeError, match="module 'modelgate' has no attribute 'Gates'"):
        _ = modelgate.Gates

    assert set(modelgate.__all__) <= set(dir(modelgate))
    assert modelgate.Gate is vars(modelgate)["Gate"]
    assert "modelgate.dialects" == modelgate.dialects.__name__


def test_the_names_are_those_a_type_checker_sees():
    """Each is imported once in the block that only it reads, and so from the same module."""
    block = next(node for node in ast.parse(inspect.getsource(modelgate)).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}

    assert set(modelgate.__all__) == seen.keys()
    for name, room in seen.items():
        home = modelgate if room is None else getattr(modelgate, room)
        assert getattr(modelgate, name) is getattr(home, name)


@pytest.mark.parametrize(
    "package",
    [
        "sklearn",
        "pandas",
        "polars",
        "flask",
        "werkzeug",
        "fastapi",
        "starlette",
        "skops",
        "joblib",
        "uvicorn",
        "redis",
        "limits",
        "scipy",
    ],
)
def test_importing_imports_no_extra(imported, package):
    """``import modelgate`` needs the core dependencies alone."""

    assert package not in imported["modules"]


def test_importing_starts_no_thread(imported):
    """Only the main thread runs afterwards."""

    assert 1 == imported["threads"]


def test_importing_configures_no_logging(imported):
    """Neither a handler nor a level is set, and records propagate."""

    assert [0, 0, 0, True] == imported["logging"]
