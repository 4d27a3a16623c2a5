"""Adapter for FastAPI. It mounts a handler in an app, and documents the handler's paths in the app."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from threading import Lock
from typing import Any

import fastapi
from cachetools import TTLCache, cached
from starlette.routing import Route

from ..errors import AnswerableError
from ..flow import Flow, Handler, Layer, adrive
from ..http import Request, Response, http_stack
from ..http.request import PlainJSON
from . import starlette
from .asgi import ASGIApp, ASGIRequest, Receive, Scope, Send, select_handler

__all__ = ["create_dependency", "mount"]

_REFRESH = 10.0
"""Seconds for which the document of a handler is cached."""


def mount(
    app: fastapi.FastAPI,
    prefix: str,
    handler: Handler[Request, Response],
    *,
    openapi: Callable[[], dict[str, Any]] | None = None,
) -> None:
    """Mount a handler in a FastAPI app.

    Args:
        app: FastAPI app.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.
        openapi: Function that returns the OpenAPI document of the handler, to merge into the app's document;
            None to merge nothing.
    """
    starlette.mount(app, prefix, handler)
    if openapi is None or not app.openapi_url:
        return
    app_openapi, openapi = app.openapi, cached(TTLCache(1, _REFRESH), lock=Lock())(openapi)

    def merged_openapi() -> dict[str, Any]:
        return _merge(app_openapi(), prefix, openapi())

    app.openapi = merged_openapi  # type: ignore[method-assign]
    for route in app.routes:
        if isinstance(route, Route) and route.path == app.openapi_url:
            route.app = _call_before(openapi, route.app)


def _call_before(function: Callable[[], object], application: ASGIApp) -> ASGIApp:
    """Return an app that calls *function* in a thread, and then *application*.

    *function* creates and caches the handler's document, which takes long if it has to load models. FastAPI
    then merges the cached document on the event loop without waiting.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(function)
        await application(scope, receive, send)

    return call


def _merge(document: dict[str, Any], prefix: str, mounted: dict[str, Any]) -> dict[str, Any]:
    """Return the app's *document* with the paths, tags and components of the handler's document *mounted*."""
    components = {kind: dict(parts) for kind, parts in document.get("components", {}).items()}
    for kind, parts in mounted["components"].items():
        components[kind] = {**parts, **components.get(kind, {})}
    paths = {prefix + path: item for path, item in mounted["paths"].items()}
    return {
        **document,
        "paths": {**paths, **document["paths"]},
        "components": components,
        "tags": [*document.get("tags", ()), *mounted["tags"]],
    }


def create_dependency(layers: Iterable[Layer[Request, Response]]) -> Callable[..., Awaitable[Any]]:
    """Return a dependency that applies HTTP layers to the requests of a route.

    The dependency returns the `Principal` of the caller. Errors become HTTP exceptions. Header fields that
    the layers set are added to the response of the route.

    Args:
        layers: HTTP layers, all of which finish before the route is called. Therefore a layer that limits
            concurrent requests has no effect, and layers that store answers are left out.
    """
    # Leave out layers that store answers: a repeated request would get a stored answer, without rate limits.
    handler = http_stack((layer for layer in layers if not getattr(layer, "stores_answers", False)), _accept)

    async def caller(request: fastapi.Request, response: fastapi.Response) -> Any:
        gate_request = ASGIRequest(request.scope, request.receive)
        gate_request.wire = _HEADERS_ONLY
        try:
            accepted = await adrive(select_handler(handler)(gate_request))
        except AnswerableError as error:
            raise fastapi.HTTPException(error.status, error.message, dict(error.headers)) from error
        finally:
            gate_request.close()
        if accepted.status >= 400:
            raise fastapi.HTTPException(accepted.status, "This server cannot check API keys")
        for name, value in accepted.headers:
            response.headers[name] = value
        return gate_request.context.principal

    return caller


_HEADERS_ONLY = PlainJSON()
"""Wire format of the app's routes. Unlike with `PLAIN_JSON`, a key need not have the scope ``*``."""


def _accept(request: Request) -> Flow[Response]:  # noqa: ARG001
    yield from ()
    return Response(204)
