"""HTTP client for a deployment of a gate. Requires the extra ``client``.

`Client` is blocking, and `AsyncClient` is for asyncio. Both use the class `Session`. A call raises:

- for an error response of the gate, the same exception that `Gate.score` would raise; see `modelgate.errors`
- if the server does not respond, or its response is not from a gate, a `ClientError`
"""

from .clients import AsyncClient, Client
from .curves import CurvePoints, ResponseCurve
from .errors import ClientError, ConnectionFailed, UnexpectedResponse
from .forecasts import Forecasts
from .predictions import OutputPredictions, Predictions, TriggeredRule

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "CurvePoints",
    "Forecasts",
    "OutputPredictions",
    "Predictions",
    "ResponseCurve",
    "TriggeredRule",
    "UnexpectedResponse",
]
