"""The pages of the reference."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "reference"
DOCUMENTED = [
    name for page in PAGES.glob("*.md") for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)
]


def documented_objects():
    """Yield the documented objects: those named on a page, and the exports of modules named there."""
    for name in DOCUMENTED:
        value = resolve_name(name)
        yield value
        yield from (getattr(value, name) for name in getattr(value, "__all__", ()))


@pytest.mark.parametrize(
    "module", ["modelgate", "modelgate.client", "modelgate.models", "modelgate.deployments.sql_registry"]
)
def test_every_public_name_is_documented(module):
    """By its own name, with its module, or, for a module, by the names in it."""
    documented, package = list(documented_objects()), resolve_name(module)
    missing = [
        name
        for name in package.__all__
        if not any(getattr(package, name) is value for value in documented)
        and not any(path.startswith(f"{module}.{name}.") for path in DOCUMENTED)
    ]

    assert [] == missing


def test_no_name_is_documented_twice():
    """Each name is on one page."""
    assert sorted(set(DOCUMENTED)) == sorted(DOCUMENTED)
