"""Routes, and the router that matches them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ..errors import MethodNotAllowed, NotFound
from ..flow import Handler
from .request import Request, WireFormat
from .response import Response

__all__ = ["Route", "RouteMatch", "RouteSpec", "Router"]

_VARIABLE = re.compile(r"\{(\w+)\}")

# Deployment names contain no colon, and some paths have a colon and a verb after the name or the version.
_PARTS = {"deployment": "[^/:]+", "version": "[^/]+(?<!:predict)"}


class RouteSpec(NamedTuple):
    """OpenAPI description of a route of a deployment.

    Args:
        summary: Name of the operation.
        answer: Type of the JSON body of a response.
        request: Type of the JSON body of a request; None for a request without a body.
        query: Description of each parameter of the query string by name. All parameters are optional texts.
    """

    summary: str
    answer: type
    request: type | None = None
    query: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Route:
    """Handler for requests with a given method and path.

    Args:
        method: HTTP method, upper case.
        path: Path below the mount point. ``{name}`` matches one segment, which is stored in `Request.params`.
            ``{deployment}`` also names the requested deployment, and ``{version}`` the version of its model.
        handler: Function that answers the requests; None for a route that scores rows.
        is_public: Whether requests bypass keys, limits and all layers except `Deadline`. True for health
            checks, for example.
        action: Action that the key must permit if the route has a handler; see
            `modelgate.keys.principal.ACTIONS`.
        spec: Description for OpenAPI documents; None for a route that is left out of them.
    """

    method: str
    path: str
    handler: Handler[Request, Response] | None = None
    is_public: bool = False
    action: str = "read"
    spec: RouteSpec | None = None


class RouteMatch(NamedTuple):
    """Result of routing: the route of a request, its wire format, and the variable parts of the path."""

    route: Route
    wire: WireFormat
    params: Mapping[str, str]


class Router:
    """Router for the routes of several dialects.

    The first route that matches wins. Routes that begin with a variable are tried last.
    """

    def __init__(self) -> None:
        self._fixed: dict[str, dict[str, RouteMatch]] = {}
        # Routes by the fixed first part of the path, which is cheap to look up, and then by their path.
        self._variable: dict[str, dict[str, tuple[re.Pattern[str], dict[str, RouteMatch]]]] = {}
        self._prefixes: dict[str, WireFormat] = {}

    def add(self, route: Route, wire: WireFormat, params: Mapping[str, str] | None = None) -> bool:
        """Add *route* and return True, or return False if there is a route with the same method and path.

        Args:
            route: Route to add.
            wire: Wire format of the route.
            params: Fixed values of parameters, for a path that does not contain them.
        """
        prefix = _VARIABLE.split(route.path)[0]
        if prefix != route.path:
            patterns = self._variable.setdefault(_first_part(prefix), {})
            _, methods = patterns.setdefault(route.path, (_compile_pattern(route.path), {}))
        else:
            methods = self._fixed.setdefault(route.path, {})
        match = RouteMatch(route, wire, params or {})
        self._prefixes.setdefault(prefix, wire)
        self._prefixes.setdefault(_first_part(prefix), wire)
        return methods.setdefault(route.method, match) is match

    def find(self, method: str, path: str) -> RouteMatch:
        """Return the route for a request. A trailing slash is ignored, and HEAD matches the routes for GET.

        Raises:
            NotFound: No route matches the path.
            MethodNotAllowed: Routes match the path, but not the method.
        """
        fixed = self._fixed.get(path)
        if fixed is not None and method in fixed:
            return fixed[method]
        method, allowed = "GET" if method == "HEAD" else method, set[str]()
        for methods, params in self._matches(path.removesuffix("/")):
            match = methods.get(method)
            if match is not None:
                return RouteMatch(match.route, match.wire, params) if params else match
            allowed.update(methods)
        if allowed:
            raise MethodNotAllowed(sorted(allowed | {"HEAD"} if "GET" in allowed else allowed))
        raise NotFound

    def nearest(self, path: str) -> WireFormat | None:
        """Return the wire format for errors about an unknown *path*, or None if no route is similar.

        A route is similar if *path* begins with the route's first segment, or with the part of the route
        before its first variable. Of several similar routes, the one with the longest such part is used.
        """
        prefixes = [prefix for prefix in self._prefixes if len(prefix) > 1 and path.startswith(prefix)]
        return self._prefixes[max(prefixes, key=len)] if prefixes else None

    def _matches(self, path: str) -> Iterator[tuple[dict[str, RouteMatch], dict[str, str]]]:
        if path in self._fixed:
            yield self._fixed[path], {}
        for first in dict.fromkeys((_first_part(path), "")):
            for pattern, methods in self._variable.get(first, {}).values():
                match = pattern.fullmatch(path)
                if match is not None:
                    yield methods, match.groupdict()


def _first_part(path: str) -> str:
    """Return the path up to its second slash, such as ``/simple/``, or an empty string if there is none."""
    return path[: path.find("/", 1) + 1]


def _compile_pattern(path: str) -> re.Pattern[str]:
    # Every second piece of the split is the name of a variable.
    pieces = [
        f"(?P<{piece}>{_PARTS.get(piece, '[^/]+')})" if index % 2 else re.escape(piece)
        for index, piece in enumerate(_VARIABLE.split(path))
    ]
    return re.compile("".join(pieces))
