"""Imports between the packages of modelgate."""

import ast
import functools
from pathlib import Path

import pytest

import modelgate

SOURCE = Path(modelgate.__file__).parent
LEVELS = [
    ["errors", "prometheus"],
    ["cancellation", "conformal", "importing", "spelling", "validation"],
    ["codecs", "flow"],
    ["http", "schema", "backends"],
    ["limiting", "forecasting"],
    ["keys", "models", "idempotency"],
    ["explanations"],
    ["inference"],
    ["humility"],
    ["scoring"],
    ["context"],
    ["deployments"],
    ["layers", "dialects", "mount", "monitoring"],
    ["openapi", "console"],
    ["endpoints", "quick_path"],
    ["gate"],
    ["__init__"],
    ["client"],
    ["bulk"],
    ["cli"],
]
LEVEL = {package: level for level, packages in enumerate(LEVELS) for package in packages}
FORBIDDEN = {
    "layers": {"dialects", "mount"},
    "dialects": {"layers", "mount"},
    "mount": {"layers", "dialects", "scoring", "models", "schema", "keys"},
}
# Modules outside of the levels, which nothing imports, and what they import.
TOOLS = {
    "testing": {"context", "errors", "flow", "http", "schema"},
    "pytest_plugin": {"gate", "keys", "testing"},
}
FRAMEWORKS = {
    "blacksheep",
    "bottle",
    "django",
    "falcon",
    "fastapi",
    "flask",
    "litestar",
    "pyramid",
    "quart",
    "sanic",
    "starlette",
    "werkzeug",
}
HEAVY = {
    "sklearn",
    "pandas",
    "polars",
    "skops",
    "joblib",
    "rich",
    "redis",
    "valkey",
    "pymemcache",
    "memcachio",
    "pymongo",
    "motor",
    "cryptography",
    "httpx",
    "uvicorn",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "xgboost",
    "lightgbm",
    "catboost",
    "statsmodels",
    "skforecast",
    "statsforecast",
    "shap",
    "mlflow",
    "opentelemetry",
}

FILES = sorted(SOURCE.rglob("*.py"))


@functools.cache
def parse(path):
    """Return the syntax tree of *path*."""
    return ast.parse(path.read_text())


class Imports(ast.NodeVisitor):
    """Collects the imports of a module: the dotted name, and whether inside a function.

    Imports under `if TYPE_CHECKING` do not count unless *types* is set.
    """

    def __init__(self, path, *, types=False):
        self.found, self._inside, self._types = [], 0, types
        self._package = ["modelgate", *path.relative_to(SOURCE).parts[:-1]]
        self.visit(parse(path))

    def visit_If(self, node):
        if self._types or getattr(node.test, "id", getattr(node.test, "attr", None)) != "TYPE_CHECKING":
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
        names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        self.found += [(name, self._inside > 0) for name in names]


@functools.cache
def list_imports(path, *, types=False):
    """Return what `Imports` finds in *path*."""
    return Imports(path, types=types).found


def package_of(path):
    """Return the package or module directly below modelgate that *path* belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def list_imported_packages(path, *, types=False):
    """Return the other packages of modelgate that *path* imports."""
    names = [name.split(".") for name, _ in list_imports(path, types=types)]
    return {parts[1] for parts in names if parts[0] == "modelgate" and len(parts) > 1} - {package_of(path)}


def list_imported_distributions(path, *, top_level_only):
    """Return the top-level packages that *path* imports."""
    found = list_imports(path)
    return {name.partition(".")[0] for name, inside in found if not (top_level_only and inside)}


def find_upward_imports(path, *, types=False):
    """Return the packages of the same level or above that *path* imports."""
    imported = list_imported_packages(path, types=types)
    if package_of(path) in TOOLS:
        return imported - TOOLS[package_of(path)]
    return {other for other in imported if LEVEL.get(other, 99) >= LEVEL[package_of(path)]}


def module_name(path):
    """Return the dotted name of *path*; that of a package for its `__init__.py`."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def build_import_graph():
    """Map each module to the modules it imports, also for types and inside functions.

    A package does not count as imported by its own modules: Python runs it before them anyway.
    """
    paths = {module_name(path): path for path in FILES}
    return {
        module: {
            name
            for name, _ in list_imports(path, types=True)
            if name in paths and not f"{module}.".startswith(f"{name}.")
        }
        for module, path in paths.items()
    }


def find_circles(graph):
    """Return the strongly connected components of *graph* that have more than one node."""
    reached = {node: find_reachable(graph, node) for node in graph}
    circles = {frozenset(other for other in reached[node] if node in reached[other]) for node in graph}
    return sorted(sorted(circle) for circle in circles if len(circle) > 1)


def find_reachable(graph, start):
    """Return the nodes that can be reached from *start*."""
    found, pending = set(), [start]
    while pending:
        new = graph[pending.pop()] - found
        found |= new
        pending += new
    return found


def find_violations(find_imports):
    """Return what *find_imports* returns for each file of the package, without the files that violate nothing."""
    found = {str(path.relative_to(SOURCE)): find_imports(path) for path in FILES}
    return {file: imports for file, imports in found.items() if imports}


def test_levels_contain_every_package():
    assert set(LEVEL) | set(TOOLS) == {package_of(path) for path in FILES}


def test_imports_finds_known_imports():
    """The other tests would pass if no imports were found."""

    assert {"errors", "flow", "schema"} <= list_imported_packages(SOURCE / "inference" / "predictor.py")
    assert {"keys", "mount", "errors"} <= list_imported_packages(SOURCE / "gate" / "gate.py")
    assert "joblib" in list_imported_distributions(SOURCE / "models" / "pickle_file.py", top_level_only=False)


def test_imports_reads_type_checking_blocks_on_request(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    module = tmp_path / "module.py"
    module.write_text("if TYPE_CHECKING:\n    from modelgate.gate import Gate\n")
    found = [{name for name, _ in list_imports(module, types=types)} for types in (False, True)]

    assert [set(), {"modelgate.gate", "modelgate.gate.Gate"}] == found


def test_find_circles():
    """A module that only imports modules of a circle does not belong to it."""
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"e"}, "e": {"f"}, "f": {"d"}}

    assert [["b", "c"], ["d", "e", "f"]] == find_circles(graph)


@pytest.mark.slow
def test_modules_do_not_import_each_other_in_circles():
    """Imports for types and inside functions count too."""

    assert [] == find_circles(build_import_graph())


@pytest.mark.slow
@pytest.mark.parametrize("types", [False, True], ids=["at run time", "for types"])
def test_modules_import_only_lower_levels(types):
    assert {} == find_violations(lambda path: find_upward_imports(path, types=types))


@pytest.mark.slow
def test_layers_dialects_and_mounts_are_independent():
    assert {} == find_violations(
        lambda path: list_imported_packages(path) & FORBIDDEN.get(package_of(path), set())
    )


@pytest.mark.slow
def test_frameworks_are_imported_only_by_mounts():
    assert {} == find_violations(
        lambda path: (
            package_of(path) != "mount"
            and list_imported_distributions(path, top_level_only=False) & FRAMEWORKS
        )
    )


@pytest.mark.slow
def test_heavy_packages_are_imported_inside_functions():
    """They cost no import time until they are needed."""
    assert {} == find_violations(lambda path: list_imported_distributions(path, top_level_only=True) & HEAVY)
