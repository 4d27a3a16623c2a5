"""Reject requests over plain HTTP."""

from ..errors import Forbidden
from ..flow import Flow, Handler
from ..http import Request, Response

__all__ = ["HttpsOnly"]


class HttpsOnly:
    """Reject requests over plain HTTP with 403.

    The Plexe API documents the same behaviour ("Security Considerations"). A redirect would hide from the
    caller that its key was sent in clear text, so the next request would be sent in clear text, too.

    Behind a proxy that terminates TLS, place `TrustedProxies` outside of this layer.
    """

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if request.scheme != "https":
            raise Forbidden("This service accepts HTTPS only: send the request to the https:// URL")
        return call_next(request)
