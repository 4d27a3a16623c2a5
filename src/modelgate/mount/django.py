"""Adapter for Django. It serves a handler in a URLconf, or calls a handler from a view."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path

from ..context import RequestContext
from ..errors import BodyTooLarge, MalformedBody
from ..flow import Handler
from ..http import Request, Response
from .streaming_body import StreamingBody
from .views import WSGIViewRequest, check_size, respond, respond_async

__all__ = ["handle", "urls"]


def urls(handler: Handler[Request, Response]) -> list[URLPattern]:
    """Return URL patterns that serve a handler, for ``include``.

    Django's middleware applies to the requests. No CSRF token is needed, because callers send a key, not a
    cookie. The path in ``path("ml/", include(urls(gate)))`` must end with a slash; Django redirects ``ml``
    to ``ml/``. If an exception becomes a response with status 500, the signal ``got_request_exception`` is
    sent.

    Args:
        handler: Handler, for example a gate.
    """

    # Use a sync view. Under ASGI, Django calls it in a thread of the request. Under WSGI, an async view would
    # take longer, because Django would run it on a separate event loop for each request.
    def view(request: HttpRequest, path: str) -> HttpResponseBase:
        view_request = _create_request(request)
        view_request.path = "/" + path
        view_request.root_path = request.path.removesuffix(view_request.path)
        return _to_django(view_request, *respond(view_request, handler))

    view.csrf_exempt = True  # type: ignore[attr-defined]
    return [re_path(r"^(?P<path>.*)$", view, name="modelgate")]


def handle(
    request: HttpRequest, handler: Handler[Request, Response]
) -> HttpResponseBase | Awaitable[HttpResponseBase]:
    """Call *handler* from a view. Return the response, or an awaitable of the response in an async view."""
    view_request = _create_request(request)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _to_django(view_request, *respond(view_request, handler))
    return _respond_async(view_request, handler)


async def _respond_async(request: Request, handler: Handler[Request, Response]) -> HttpResponseBase:
    return _to_django(request, *await respond_async(request, handler))


class _ASGIRequest(Request):
    """Request under ASGI. Django receives its body before it calls the view."""

    __slots__ = ("_django",)

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(
            request.method,
            request.path_info,
            {name.lower(): value for name, value in request.headers.items()},
            root_path=request.path.removesuffix(request.path_info),
            query_string=request.META.get("QUERY_STRING", ""),
            scheme=request.scheme,
            client=request.META.get("REMOTE_ADDR") or None,
            context=RequestContext(),
        )
        self._django = request

    def _read(self) -> bytes:
        check_size(self, self.content_length or 0)
        body = _read_body(self._django)
        check_size(self, len(body))
        return body

    async def _aread(self) -> bytes:
        return self._read()


def _create_request(request: Any) -> Request:
    view_request: Request
    if isinstance(request, WSGIRequest):
        view_request = WSGIViewRequest(request.environ, partial(_read_body, request))
    else:
        view_request = _ASGIRequest(request)
    view_request.on_exception = partial(_send_exception, request)
    return view_request


def _send_exception(request: HttpRequest, _error: BaseException) -> None:
    """Send the signal that error trackers for Django listen to."""
    # Receivers read the current exception. Django logs their errors, which must not replace the response.
    got_request_exception.send_robust(sender=None, request=request)


def _read_body(request: HttpRequest) -> bytes:
    try:
        return bytes(request.body)
    except RequestDataTooBig:
        raise BodyTooLarge(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) from None
    except Exception as error:
        raise MalformedBody("The body could not be read: send it again") from error


def _to_django(request: Request, response: Response, body: bytes | StreamingBody) -> HttpResponseBase:
    # An empty content type keeps Django from adding its default one.
    options: Any = {"status": response.status, "content_type": ""}
    django_response: HttpResponseBase
    if isinstance(body, bytes):
        django_response = HttpResponse(body, **options)
    else:
        # Under ASGI, Django would join a body that is not async, even if the view is.
        content = aiter(body) if isinstance(request, _ASGIRequest) else body
        django_response = StreamingHttpResponse(content, **options)
    del django_response.headers["Content-Type"]
    for name, value in response.headers:
        django_response.headers[name] = value
    return django_response
