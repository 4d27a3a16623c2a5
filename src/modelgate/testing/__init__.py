"""Tools for tests of layers, gates and apps, without sockets, threads or mock libraries.

* `Client` sends requests to a WSGI or ASGI app without a server. In async tests and notebooks, await its methods
  `aget`, `apost` and `arequest`.
* `request` creates a `modelgate.Request`, and `StubHandler` is a handler for a layer to call. Both are for
  tests of layers::

      handler = StubHandler()
      response = modelgate.drive(RateLimit("1/minute")(request(), handler))
      assert handler.requests

* `FakeClock` is a clock that a test advances: ``RateLimit("1/minute", clock=clock)``.
* `valid_rows` and `nearly_valid_rows` are hypothesis strategies for the rows of a schema.

Pytest fixtures for these tools are in `modelgate.pytest_plugin`.
"""

from typing import TYPE_CHECKING, Any

from .client import Client, ClientResponse
from .handlers import FakeClock, StubHandler, request

if TYPE_CHECKING:
    from .row_strategies import nearly_valid_rows, valid_rows

__all__ = [
    "Client",
    "ClientResponse",
    "FakeClock",
    "StubHandler",
    "nearly_valid_rows",
    "request",
    "valid_rows",
]


if not TYPE_CHECKING:  # With a module __getattr__, type checkers would accept any name.

    def __getattr__(name: str) -> Any:
        """Import the strategies on first use, because they need hypothesis (PEP 562)."""
        if name not in ("nearly_valid_rows", "valid_rows"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import row_strategies

        return getattr(row_strategies, name)
