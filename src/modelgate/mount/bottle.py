"""Adapter for Bottle. It mounts a handler in an app, or calls a handler from a route."""

import bottle

from ..flow import Handler
from ..http import Request, Response
from . import wsgi
from .views import WSGIViewRequest, respond

__all__ = ["handle", "mount"]


def mount(app: bottle.Bottle, prefix: str, handler: Handler[Request, Response]) -> None:
    """Mount a handler in front of a Bottle app. Requests to the handler bypass routes, hooks and plugins.

    Args:
        app: Bottle app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.
    """
    app.wsgi = wsgi.mount(app.wsgi, prefix, handler)


def handle(request: bottle.BaseRequest, handler: Handler[Request, Response]) -> bottle.HTTPResponse:
    """Call *handler* from a route, and return a response of Bottle."""
    view_request = WSGIViewRequest(request.environ, lambda: request.body.read())
    response, body = respond(view_request, handler)
    return bottle.HTTPResponse(body, response.status_line, response.headers)
