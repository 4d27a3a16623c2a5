"""Pytest fixtures for apps with a gate. pytest loads them automatically.

* `modelgate_app`: override this fixture to return your app or gate.
* `modelgate_client`: `modelgate.testing.Client` for your app, with the key of `modelgate_key`.
* `modelgate_key`: API key for every deployment, in the environment variable ``MODELGATE_KEYS``.
* `modelgate_clock`: `modelgate.testing.FakeClock` for rate limits.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import Client, FakeClock

__all__ = ["modelgate_app", "modelgate_client", "modelgate_clock", "modelgate_key"]

# pytest imports this module whenever modelgate is installed. Fixtures import the rest of modelgate on use.


@pytest.fixture(scope="session")
def modelgate_key() -> Iterator[str]:
    """API key that permits every deployment of a gate with ``keys="env:MODELGATE_KEYS"``.

    The environment variable is set for the entire test session. A gate reads the variable when it is created,
    so create your gate after this fixture, for example by importing the app inside `modelgate_app`.
    """
    from .keys import generate

    with pytest.MonkeyPatch.context() as monkeypatch:
        key = generate("mg_test")
        monkeypatch.setenv("MODELGATE_KEYS", f"{key}=*")
        yield key


@pytest.fixture
def modelgate_app() -> Any:
    """WSGI app, ASGI app or gate that `modelgate_client` calls. Override this fixture."""
    raise pytest.UsageError("define a fixture modelgate_app that returns your app or gate")


@pytest.fixture
def modelgate_client(modelgate_key: str, modelgate_app: Any) -> "Client":
    """Client for `modelgate_app`, without a server.

    The client sends `modelgate_key` in the header field ``x-api-key``.
    """
    from .gate import Gate
    from .testing import Client

    app = modelgate_app.asgi if isinstance(modelgate_app, Gate) else modelgate_app
    return Client(app, headers={"x-api-key": modelgate_key})


@pytest.fixture
def modelgate_clock() -> "FakeClock":
    """Clock that a test advances: ``RateLimit("1/minute", clock=modelgate_clock)``."""
    from .testing import FakeClock

    return FakeClock()
