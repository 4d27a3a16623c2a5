"""Adapters for WSGI, ASGI and web frameworks.

An adapter serves a handler, such as a gate, in an app of its framework. `wsgi` and `asgi` need no framework,
and can also wrap layers around an app. The other adapters are imported on first use.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from . import asgi, wsgi

if TYPE_CHECKING:
    from . import (
        blacksheep,
        bottle,
        django,
        falcon,
        fastapi,
        flask,
        litestar,
        pyramid,
        quart,
        ray,
        sanic,
        starlette,
    )

__all__ = [
    "asgi",
    "blacksheep",
    "bottle",
    "django",
    "falcon",
    "fastapi",
    "flask",
    "litestar",
    "pyramid",
    "quart",
    "ray",
    "sanic",
    "starlette",
    "wsgi",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
