"""Adapters for WSGI, ASGI, Flask and Starlette.

They turn a handler, such as a gate, into an app, and wrap layers around an existing app. `wsgi` and `asgi`
need no framework. `flask` and `starlette` are imported on first use.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from . import asgi, wsgi

if TYPE_CHECKING:
    from . import flask, starlette

__all__ = ["asgi", "flask", "starlette", "wsgi"]


def __getattr__(name: str) -> ModuleType:
    if name in ("flask", "starlette"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
