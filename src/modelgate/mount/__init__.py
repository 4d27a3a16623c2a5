"""The only modules that know a framework.

They turn a handler of requests into an app, and put layers around an app that is there already.
`wsgi` and `asgi` need no framework; `flask` and `starlette` are imported when they are used.
"""

from importlib import import_module
from types import ModuleType

from . import asgi, wsgi

__all__ = ["asgi", "flask", "starlette", "wsgi"]


def __getattr__(name: str) -> ModuleType:
    if name in ("flask", "starlette"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
