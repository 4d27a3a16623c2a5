"""What is public, and what importing it costs."""

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
before = list(logging.getLogger().handlers)
import modelgate
own = logging.getLogger("modelgate")
print(json.dumps({
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "threads": threading.active_count(),
    "logging": [len(logging.getLogger().handlers) - len(before), len(own.handlers), own.level, own.propagate],
}))
"""


@pytest.fixture(scope="module")
def imported():
    """What a fresh interpreter holds after ``import modelgate``."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


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
