"""Who asks, where a proxy stands between."""

from collections.abc import Iterable

from ..flow import Flow, Handler
from ..http import Request, Response
from ..http.addresses import TrustedNetworks, client_address

__all__ = ["TrustedProxies"]


class TrustedProxies:
    """Set `Request.client` to the address of the caller, which the proxies in between tell as
    ``Forwarded`` or ``X-Forwarded-For``. To be put outside whatever counts by address.

    Args:
        networks: of the proxies: ``["10.0.0.0/8", "::1"]``; ``"unix"`` for one on a Unix socket.
            Each must set one of the two fields itself. A peer that is not among them is the caller,
            whatever it says.

    Raises:
        ConfigurationError: one of them is no network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._trusted = TrustedNetworks.parse(networks)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        request.client = client_address(request.client, request.headers, self._trusted)
        return call_next(request)
