"""Print the lowest supported version of each dependency, as constraints for pip.

With the argument ``core``, print only core dependencies of which an extra needs a later version.
"""

import re
import sys
import tomllib
from pathlib import Path

PINNED = (
    "protobuf<5",  # later ones reject what onnx 1.16 writes
    "scipy<1.11",  # the last one that all of scikit-learn 1.3 works with
    "websockets<14",  # later ones deprecate what uvicorn 0.30 uses
    "werkzeug==2.3.0",  # the lowest one of Flask 2.3
)


def read_bounds(requirements):
    """Return the highest lower bound of each distribution in *requirements*."""
    bounds = {}
    for requirement in requirements:
        name, lowest = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?(?:>=([\w.]+))?", requirement).groups()
        if name != project["name"]:
            bounds[name] = max(bounds.get(name, "0"), lowest, key=parse)
    return bounds


def parse(version):
    """Return the numbers in *version*, to compare it."""
    return [int(number) for number in version.split(".")]


project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
core = read_bounds(project["dependencies"])
extras = project["optional-dependencies"].values()
bounds = read_bounds([*project["dependencies"], *(dependency for extra in extras for dependency in extra)])
bounds["xgboost-cpu"] = bounds["xgboost"]  # the build that the tests use
if sys.argv[1:] == ["core"]:
    lines = [f"{name}=={lowest}" for name, lowest in core.items() if lowest != bounds[name]]
else:
    lines = [*(f"{name}=={lowest}" for name, lowest in sorted(bounds.items())), *PINNED]
print("\n".join(lines))
