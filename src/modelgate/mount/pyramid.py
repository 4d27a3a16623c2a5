"""Adapter for Pyramid. It calls a handler from a view."""

import pyramid.request
import pyramid.response

from ..flow import Handler
from ..http import Request, Response
from .views import WSGIViewRequest, respond

__all__ = ["handle"]


def handle(
    request: pyramid.request.Request, handler: Handler[Request, Response]
) -> pyramid.response.Response:
    """Call *handler* from a view, and return a response that the view can return."""
    view_request = WSGIViewRequest(request.environ, lambda: request.body)
    response, body = respond(view_request, handler)
    content = {"body" if isinstance(body, bytes) else "app_iter": body}
    return pyramid.response.Response(status=response.status_line, headerlist=response.headers, **content)
