"""Run tests that use the fixture `mounted` once for each mount."""

import pytest

from support.marks import slow
from support.mounts import MOUNTS, Mounted, make_gate


@pytest.fixture(scope="module", params=[MOUNTS[0], *slow(*MOUNTS[1:])])
def mount(request):
    return request.param


@pytest.fixture(scope="module")
def mounted(mount, wine):
    """A gate for all tests of a module, which must not change it or count its requests."""
    return Mounted(mount, make_gate(wine, limits=None))
