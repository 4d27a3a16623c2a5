"""Adapter for Django, which serves a handler in a URLconf, or calls a handler from a view."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, re_path

from ..errors import BodyTooLarge
from ..flow import Handler
from ..http import Request, Response
from .views import ASGIViewRequest, WSGIViewRequest, respond, respond_async

__all__ = ["handle", "urls"]


def urls(handler: Handler[Request, Response]) -> list[URLPattern]:
    """Return URL patterns that serve a handler, for ``include``.

    Django's middleware applies to the requests. They need no CSRF token, because a gate requires a key. The
    path in ``path("ml/", include(urls(gate)))`` must end with a slash; Django redirects from the path without
    it.

    Args:
        handler: Handler, for example a gate.
    """

    # A sync view, because Django calls it in a thread of the request under ASGI, and an async view on an
    # event loop of the request under WSGI, which takes longer.
    def view(request: HttpRequest, path: str) -> HttpResponse:
        view_request = _create_request(request)
        view_request.path = "/" + path
        view_request.root_path = request.path.removesuffix(view_request.path)
        return _to_django(*respond(view_request, handler))

    view.csrf_exempt = True  # type: ignore[attr-defined]
    return [re_path(r"^(?P<path>.*)$", view, name="modelgate")]


def handle(
    request: HttpRequest, handler: Handler[Request, Response]
) -> HttpResponse | Awaitable[HttpResponse]:
    """Call *handler* from a view. Return its response, or in an async view an awaitable of the response."""
    view_request = _create_request(request)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _to_django(*respond(view_request, handler))
    return _respond_async(view_request, handler)


async def _respond_async(request: Request, handler: Handler[Request, Response]) -> HttpResponse:
    return _to_django(*await respond_async(request, handler))


class _ASGIRequest(ASGIViewRequest):
    """Request under ASGI, whose body Django receives before it calls the view."""

    __slots__ = ("_django",)

    def __init__(self, request: Any) -> None:
        super().__init__(request.scope, self._get_body)
        self._django = request

    async def _get_body(self) -> bytes:
        return _read_body(self._django)

    def _read(self) -> bytes:
        try:
            self._aread().send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        raise AssertionError("reading a body from memory does not suspend")


def _create_request(request: Any) -> Request:
    if hasattr(request, "scope"):
        return _ASGIRequest(request)
    return WSGIViewRequest(request.environ, partial(_read_body, request))


def _read_body(request: HttpRequest) -> bytes:
    try:
        return bytes(request.body)
    except RequestDataTooBig:
        raise BodyTooLarge(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) from None


def _to_django(response: Response, body: bytes) -> HttpResponse:
    # An empty content type keeps Django from adding its default one.
    django_response = HttpResponse(body, status=response.status, content_type="")
    del django_response.headers["Content-Type"]
    for name, value in response.headers:
        django_response.headers[name] = value
    return django_response
