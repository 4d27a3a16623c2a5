"""Fixtures that the tests of all dialects share."""

import pytest

from support.marks import slow


# `make quick` runs the tests of conformance/ under WSGI.
@pytest.fixture(params=[*slow("wsgi"), "asgi"])
def interface(request):
    return request.param
