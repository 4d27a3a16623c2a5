"""Reset the rate limits of a gate."""

from collections.abc import Mapping, Sequence

import msgspec

from ..deployments import Deployment, HTTPLayer
from ..flow import Flow, run
from ..http import Request, Response
from ..http.body import read_json
from ..http.routing import Route
from ..layers import AuthFailureLimit, RateLimit
from .operators import require_operator

__all__ = ["GateLimits"]


class _Reset(msgspec.Struct, forbid_unknown_fields=True):
    key: str


_DECODER = msgspec.json.Decoder(_Reset)


class GateLimits:
    """Rate limits of a gate and its deployments.

    Args:
        layers: HTTP layers of the gate.
        deployments: Deployments of the gate.
    """

    def __init__(self, layers: Sequence[HTTPLayer], deployments: Mapping[str, Deployment]) -> None:
        self._layers = layers
        self._deployments = deployments

    def reset(self, key: str) -> int:
        """Reset all limits of a caller, in this process and in Redis. This call blocks.

        Args:
            key: Id of a key, or the owner, address or other identity by which a limit counts callers; see
                `RateLimit.reset`.

        Returns:
            The number of discarded counts; 0 if no limit has counted the caller.

        Raises:
            ConfigurationError: The storage of a limit is neither ``memory://`` nor Redis.
            StoreError: Redis does not respond.
        """
        layers = [
            *self._layers,
            *(layer for deployment in self._deployments.values() for layer in deployment.layers),
        ]
        return sum(layer.reset(key) for layer in layers if isinstance(layer, RateLimit | AuthFailureLimit))

    def route(self) -> Route:
        """Return the route ``POST /limits/reset``."""
        return Route("POST", "/limits/reset", self._respond)

    def _respond(self, request: Request) -> Flow[Response]:
        require_operator(request)
        key = (yield from read_json(request, _DECODER)).key
        return Response.json({"key": key, "reset": (yield from run(self.reset, key))})
