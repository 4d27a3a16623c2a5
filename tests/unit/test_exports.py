"""Public names, and the cost of importing them."""

import ast
import inspect
import json
import subprocess
import sys

import pytest

import modelgate
from support.waiting import SOON


def test_all_is_sorted_and_distinct():
    assert sorted(set(modelgate.__all__), key=lambda name: (not name.isupper(), name)) == modelgate.__all__


def test_public_names_exist():
    assert [] == [name for name in modelgate.__all__ if not hasattr(modelgate, name)]


def test_errors_are_public():
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
    """Modules loaded by ``from modelgate import *``, and by ``import modelgate`` alone."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True, timeout=SOON
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_import_loads_no_other_module(imported):
    """``import modelgate`` alone does not load numpy."""

    assert ["modelgate"] == imported["light"][1]
    assert imported["light"][0] < 20


def test_public_names_are_cached():
    """``dir`` lists them before."""
    with pytest.raises(AttributeError, match="module 'modelgate' has no attribute 'Gates'"):
        _ = modelgate.Gates

    assert set(modelgate.__all__) <= set(dir(modelgate))
    assert modelgate.Gate is vars(modelgate)["Gate"]
    assert "modelgate.dialects" == modelgate.dialects.__name__


def test_type_checkers_see_the_same_names():
    """The TYPE_CHECKING block imports each from the same module."""
    block = next(node for node in ast.parse(inspect.getsource(modelgate)).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}

    assert set(modelgate.__all__) == seen.keys()
    for name, package in seen.items():
        home = modelgate if package is None else getattr(modelgate, package)
        assert getattr(modelgate, name) is getattr(home, name)


@pytest.mark.slow
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
def test_import_loads_no_optional_package(imported, package):
    assert package not in imported["modules"]


def test_import_starts_no_thread(imported):
    assert 1 == imported["threads"]


def test_import_does_not_configure_logging(imported):
    assert [0, 0, 0, True] == imported["logging"]
