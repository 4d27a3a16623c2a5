"""Print the lowest allowed version of each dependency, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"].values()
for requirement in sorted(
    {*project["dependencies"], *(dependency for extra in extras for dependency in extra)}
):
    name, lowest = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?(?:>=([\w.]+))?", requirement).groups()
    if name != project["name"]:
        print(f"{name}=={lowest}")
# scikit-learn 1.6 passes an option that SciPy 1.16 deprecates, and tests treat warnings as errors.
print("scipy<1.16")
