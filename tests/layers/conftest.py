"""A small app behind layers, under WSGI and ASGI."""

import pytest

from modelgate import mount
from support.apps import asgi_app, wsgi_app


@pytest.fixture(params=["wsgi", "asgi"])
def wrap(request):
    """Return a function that puts layers around the app, for each interface."""
    if request.param == "wsgi":
        return lambda *layers: mount.wsgi.wrap(wsgi_app, *layers)
    return lambda *layers: mount.asgi.wrap(asgi_app, *layers)
