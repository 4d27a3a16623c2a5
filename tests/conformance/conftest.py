"""Runs tests that use the fixture `mounted` once for each mount."""

import pytest

from support.marks import slow
from support.mounts import MOUNTS, Mounted, make_gate


@pytest.fixture(params=[MOUNTS[0], *slow(*MOUNTS[1:])])
def mount(request):
    return request.param


@pytest.fixture
def mounted(mount, wine):
    return Mounted(mount, make_gate(wine))
