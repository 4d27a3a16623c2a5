"""Fixtures that the tests of all dialects share."""

import pytest


@pytest.fixture(params=["wsgi", "asgi"])
def interface(request):
    return request.param
