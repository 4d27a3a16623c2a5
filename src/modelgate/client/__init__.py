"""HTTP client for a deployment of a gate. Requires the extra ``client``.

`Client` is blocking, `AsyncClient` is for asyncio; both share the class `Session`. An error response of
the gate is raised as the exception that `Gate.score` would raise, see `modelgate.errors`. If the gate does
not respond, or the response is not that of a gate, a `ClientError` is raised.
"""

from .clients import AsyncClient, Client
from .errors import ClientError, ConnectionFailed, UnexpectedResponse
from .predictions import Predictions

__all__ = ["AsyncClient", "Client", "ClientError", "ConnectionFailed", "Predictions", "UnexpectedResponse"]
