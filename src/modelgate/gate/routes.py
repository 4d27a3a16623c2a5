"""Which dialect a path belongs to."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..dialects import Route
from ..errors import MethodNotAllowed, NotFound
from ..http import Wire

__all__ = ["Found", "Routes"]

_VARIABLE = re.compile(r"\{(\w+)\}")

# No deployment has a colon in its name, and some paths have one behind it.
_PARTS = {"deployment": "[^/:]+"}


class Found(NamedTuple):
    """A route, the wire format it belongs to, and the variable parts of the path."""

    route: Route
    wire: Wire
    params: Mapping[str, str]


class Routes:
    """The routes of several dialects: the first one that fits wins, and one whose first part is variable last."""

    def __init__(self) -> None:
        self._fixed: dict[str, dict[str, Found]] = {}
        # By the first part, which is quickly seen, and the path: the whole of it, and the routes.
        self._variable: dict[str, dict[str, tuple[re.Pattern[str], dict[str, Found]]]] = {}
        self._prefixes: dict[str, Wire] = {}

    def add(self, route: Route, wire: Wire, params: Mapping[str, str] | None = None) -> bool:
        """Add a route, unless there is one of its method and path: the one that came first stays.

        Args:
            route: the route.
            wire: whose it is.
            params: what the path says without having it in it.
        """
        prefix = _VARIABLE.split(route.path)[0]
        if prefix != route.path:
            alike = self._variable.setdefault(_first_part(prefix), {})
            _, methods = alike.setdefault(route.path, (_pattern(route.path), {}))
        else:
            methods = self._fixed.setdefault(route.path, {})
        found = Found(route, wire, params or {})
        self._prefixes.setdefault(prefix, wire)
        self._prefixes.setdefault(_first_part(prefix), wire)
        return methods.setdefault(route.method, found) is found

    def find(self, method: str, path: str) -> Found:
        """The route of a path. A slash at the end changes nothing, and HEAD is answered as GET.

        Raises:
            NotFound: no route has the path.
            MethodNotAllowed: routes have the path, and none has the method.
        """
        fixed = self._fixed.get(path)
        if fixed is not None and method in fixed:
            return fixed[method]
        method, allowed = "GET" if method == "HEAD" else method, set[str]()
        for methods, params in self._fitting(path.removesuffix("/")):
            found = methods.get(method)
            if found is not None:
                return Found(found.route, found.wire, params) if params else found
            allowed.update(methods)
        if allowed:
            raise MethodNotAllowed(sorted(allowed | {"HEAD"} if "GET" in allowed else allowed))
        raise NotFound

    def nearest(self, path: str) -> Wire | None:
        """The wire format that has the most of the beginning of *path*: who asks there means it."""
        prefixes = [prefix for prefix in self._prefixes if len(prefix) > 1 and path.startswith(prefix)]
        return self._prefixes[max(prefixes, key=len)] if prefixes else None

    def _fitting(self, path: str) -> Iterator[tuple[dict[str, Found], dict[str, str]]]:
        if path in self._fixed:
            yield self._fixed[path], {}
        for first in dict.fromkeys((_first_part(path), "")):
            for pattern, methods in self._variable.get(first, {}).values():
                match = pattern.fullmatch(path)
                if match is not None:
                    yield methods, match.groupdict()


def _first_part(path: str) -> str:
    """Of ``/simple/churn`` it is ``/simple/``; empty where there is no second slash."""
    return path[: path.find("/", 1) + 1]


def _pattern(path: str) -> re.Pattern[str]:
    # An odd piece of the split is a variable's name, an even one stands for itself.
    pieces = [
        f"(?P<{piece}>{_PARTS.get(piece, '[^/]+')})" if at % 2 else re.escape(piece)
        for at, piece in enumerate(_VARIABLE.split(path))
    ]
    return re.compile("".join(pieces))
