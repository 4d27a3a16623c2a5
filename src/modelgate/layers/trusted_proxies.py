"""Addresses and URL schemes of callers behind proxies."""

from collections.abc import Iterable

from ..flow import Flow, Handler
from ..http import Request, Response
from ..http.client_address import TrustedNetworks, client_address, forwarded_scheme

__all__ = ["TrustedProxies"]


class TrustedProxies:
    """Set `Request.client` and `Request.scheme` to the values that trusted proxies report.

    The address is read from ``Forwarded`` or ``X-Forwarded-For``, and the scheme from ``X-Forwarded-Proto``
    or the ``proto`` of ``Forwarded``. Place this layer outside of all layers that use the address or the
    scheme.

    Args:
        networks: Networks of the proxies, such as ``["10.0.0.0/8", "::1"]``; ``"unix"`` for a proxy on a Unix
            socket. Each proxy must set ``Forwarded`` or ``X-Forwarded-For`` itself. For any other peer, the
            headers are ignored and the peer counts as the caller.

    Raises:
        ConfigurationError: An entry is not a network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._trusted = TrustedNetworks.parse(networks)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if request.client in self._trusted:
            request.scheme = forwarded_scheme(request.headers) or request.scheme
        request.client = client_address(request.client, request.headers, self._trusted)
        return call_next(request)
