"""A caller's side: asks a deployment of a gate over HTTP. Needs the extra ``client``.

`Client` blocks, `AsyncClient` is awaited, and both are one `Session`. What a gate refuses is raised as
the error that `Gate.score` would raise: see `modelgate.errors`, and `ClientError` for what no gate said.
"""

from .clients import AsyncClient, Client
from .errors import ClientError, ConnectionFailed, UnexpectedAnswer
from .predictions import Predictions

__all__ = ["AsyncClient", "Client", "ClientError", "ConnectionFailed", "Predictions", "UnexpectedAnswer"]
