"""What the tests of every dialect share."""

import pytest


@pytest.fixture(params=["wsgi", "asgi"])
def interface(request):
    return request.param
