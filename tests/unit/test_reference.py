"""The pages of the reference."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "reference"
TOLD = [told for page in PAGES.glob("*.md") for told in re.findall(r"^::: (\S+)$", page.read_text(), re.M)]


def shown():
    """What there is a heading for: each name told, and what a module that is told exports."""
    for told in TOLD:
        value = resolve_name(told)
        yield value
        yield from (getattr(value, name) for name in getattr(value, "__all__", ()))


@pytest.mark.parametrize(
    "module", ["modelgate", "modelgate.client", "modelgate.models", "modelgate.deployments.sql_registry"]
)
def test_every_public_name_is_told(module):
    """By itself, with the module it is in, or, where it is a module, by what is in it."""
    there, room = list(shown()), resolve_name(module)
    missing = [
        name
        for name in room.__all__
        if not any(getattr(room, name) is value for value in there)
        and not any(told.startswith(f"{module}.{name}.") for told in TOLD)
    ]

    assert [] == missing


def test_nothing_is_told_twice():
    """Each has one place."""

    assert sorted(set(TOLD)) == sorted(TOLD)
