"""Who imports whom."""

import ast
from pathlib import Path

import pytest

import modelgate

SOURCE = Path(modelgate.__file__).parent
RANKS = [
    ["errors", "metrics"],
    ["counts", "database"],
    ["flow"],
    ["http"],
    ["schema", "limiting"],
    ["models", "keys"],
    ["scoring"],
    ["layers", "dialects", "mount"],
    ["openapi", "console"],
    ["gate"],
    ["__init__"],
    ["client"],
    ["cli"],
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
FORBIDDEN = {
    "layers": {"dialects", "mount"},
    "dialects": {"layers", "mount"},
    "mount": {"layers", "dialects", "scoring", "models", "schema", "keys"},
}
TESTING = {"errors", "flow", "http"}
FRAMEWORKS = {"flask", "starlette", "fastapi", "werkzeug"}
HEAVY = {
    "sklearn",
    "pandas",
    "polars",
    "skops",
    "joblib",
    "rich",
    "redis",
    "cryptography",
    "httpx",
    "uvicorn",
    "onnx",
    "onnxruntime",
    "skl2onnx",
}

FILES = sorted(SOURCE.rglob("*.py"))


class Imports(ast.NodeVisitor):
    """Collects what a module imports: the dotted name, and whether inside a function."""

    def __init__(self, path):
        self.found, self._inside = [], 0
        self._package = ["modelgate", *path.relative_to(SOURCE).parts[:-1]]
        self.visit(ast.parse(path.read_text()))

    def visit_If(self, node):
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self._inside += 1
        self.generic_visit(node)
        self._inside -= 1

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def visit_Import(self, node):
        self.found += [(alias.name, self._inside > 0) for alias in node.names]

    def visit_ImportFrom(self, node):
        base = self._package[: len(self._package) - node.level + 1] if node.level else []
        module = ".".join(base + (node.module.split(".") if node.module else []))
        # "from . import keys" imports a module by each name.
        names = [f"{module}.{alias.name}" for alias in node.names] if module == "modelgate" else [module]
        self.found += [(name, self._inside > 0) for name in names]


def room(path):
    """The module or folder of the house that *path* belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def rooms_imported(path):
    names = [name.split(".") for name, _ in Imports(path).found]
    return {parts[1] for parts in names if parts[0] == "modelgate" and len(parts) > 1} - {room(path)}


def packages_imported(path, *, top_level_only):
    found = Imports(path).found
    return {name.partition(".")[0] for name, inside in found if not (top_level_only and inside)}


def shown(path):
    return str(path.relative_to(SOURCE))


def test_every_room_has_a_rank():
    """A new module must be given its place in the house."""

    assert set(RANK) | {"testing"} == {room(path) for path in FILES}


def test_the_walk_sees_imports():
    """The walk finds what is known to be imported, so that an empty walk cannot pass."""

    assert {"errors", "flow", "schema"} <= rooms_imported(SOURCE / "scoring" / "predictor.py")
    assert {"keys", "mount", "errors"} <= rooms_imported(SOURCE / "gate" / "gate.py")
    assert "joblib" in packages_imported(SOURCE / "models" / "files.py", top_level_only=False)


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_arrows_point_down(path):
    """No module imports one of its own rank or above."""
    if room(path) == "testing":
        assert rooms_imported(path) <= TESTING
        return
    upwards = {other for other in rooms_imported(path) if RANK.get(other, 99) >= RANK[room(path)]}

    assert set() == upwards


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_neighbours_do_not_know_each_other(path):
    """Layers know no wire format, dialects no policy, and mounts neither."""

    assert set() == rooms_imported(path) & FORBIDDEN.get(room(path), set())


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_only_mounts_know_frameworks(path):
    """A framework is imported inside mount/ alone."""
    if room(path) != "mount":
        assert set() == packages_imported(path, top_level_only=False) & FRAMEWORKS


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_heavy_packages_are_imported_where_they_are_used(path):
    """scikit-learn, DataFrames and model files cost nothing until they are needed."""

    assert set() == packages_imported(path, top_level_only=True) & HEAVY
