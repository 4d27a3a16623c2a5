"""Recognize the web framework of an app or a request, without importing other frameworks."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError
from ..flow import Handler
from ..http import Request, Response
from .handle_types import typed_handle
from .prefix import require_prefix

__all__ = ["handle", "mount", "typed_handle"]

# Module that defines the class, name of the class, adapter. Subclasses precede their base.
_REQUESTS = (
    ("flask", "Request", "flask"),
    ("starlette.requests", "Request", "starlette"),
    ("django.http", "HttpRequest", "django"),
    ("quart", "Request", "quart"),
    ("litestar", "Request", "litestar"),
    ("falcon", "Request", "falcon"),
    ("blacksheep", "Request", "blacksheep"),
    ("sanic", "Request", "sanic"),
    ("pyramid.request", "Request", "pyramid"),
    ("bottle", "BaseRequest", "bottle"),
    ("werkzeug", "Request", "flask"),
)
_APPS = (
    ("flask", "Flask", "flask"),
    ("fastapi", "FastAPI", "fastapi"),
    ("starlette.applications", "Starlette", "starlette"),
    ("quart", "Quart", "quart"),
    ("litestar", "Litestar", "litestar"),
    ("blacksheep", "Application", "blacksheep"),
    ("bottle", "Bottle", "bottle"),
)
_REQUEST_NAMES = (
    "Flask, FastAPI, Starlette, Django, Quart, Litestar, Falcon, BlackSheep, Sanic, Pyramid or Bottle"
)
_APP_NAMES = "Flask, FastAPI, Starlette, Quart, Litestar, BlackSheep or Bottle"


def handle(request: Any, handler: Handler[Request, Response], response: Any = None) -> Any:
    """Call *handler* from a view; see `modelgate.Gate.handle`.

    Args:
        request: Request object of the framework.
        handler: Handler, for example a gate.
        response: Response object that Falcon passes to the responder.

    Raises:
        TypeError: *request* belongs to no known framework, *response* is missing for a request of Falcon, or
            *response* is passed for a request of another framework.
    """
    adapter = _find_adapter(request, _REQUESTS)
    if adapter is None:
        raise TypeError(f"request must be a request of {_REQUEST_NAMES} (got {type(request).__name__})")
    if (adapter.__name__ == f"{__package__}.falcon") is (response is None):
        raise TypeError(
            "response must be the response object of a Falcon responder, and None in other frameworks"
        )
    return (
        adapter.handle(request, handler) if response is None else adapter.handle(request, handler, response)
    )


def mount(app: Any, prefix: str, handler: Handler[Request, Response], **options: Any) -> None:
    """Mount *handler* in an app; see `modelgate.Gate.mount`.

    Args:
        app: App of a framework.
        prefix: Path below which the handler is mounted, such as ``/ml``.
        handler: Handler, for example a gate.
        options: Options for FastAPI; see `modelgate.mount.fastapi.mount`.

    Raises:
        ConfigurationError: *app* belongs to no known framework, or *prefix* is not a path.
    """
    require_prefix(prefix)
    # A Dash app has a Flask app.
    app = app.server if _find_adapter(app, [("dash", "Dash", "flask")]) else app
    adapter = _find_adapter(app, _APPS)
    if adapter is None:
        hint = "wrap it with modelgate.mount.wsgi.mount or modelgate.mount.asgi.mount"
        if _find_adapter(app, [("flask", "Blueprint", "flask")]):
            hint = "mount the gate in the app that registers the blueprint, or use gate.init_app"
        raise ConfigurationError(f"app must be an app of {_APP_NAMES} (got {type(app).__name__}): {hint}")
    adapter.mount(app, prefix, handler, **(options if adapter.__name__ == f"{__package__}.fastapi" else {}))


def _find_adapter(value: object, table: Any) -> ModuleType | None:
    """Return the adapter for the class of *value*, or None if *table* does not contain this class."""
    for module, name, adapter in table:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(value, kind):
            return import_module(f".{adapter}", __package__)
    return None
