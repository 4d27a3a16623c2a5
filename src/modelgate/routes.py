"""Which dialect a path belongs to."""

import re
from collections.abc import Iterable, Iterator

from .dialects import Dialect, Route
from .errors import MethodNotAllowed, NotFound

__all__ = ["Routes"]

_VARIABLE = re.compile(r"\{(\w+)\}")


class Routes:
    """The routes of several dialects, the first one that fits winning.

    Args:
        routes: each with the dialect it belongs to.
    """

    def __init__(self, routes: Iterable[tuple[Route, Dialect]]) -> None:
        self._fixed: dict[str, dict[str, Dialect]] = {}
        self._variable: dict[str, tuple[re.Pattern[str], dict[str, Dialect]]] = {}
        for route, dialect in routes:
            if _VARIABLE.search(route.path):
                methods = self._variable.setdefault(route.path, (_pattern(route.path), {}))[1]
            else:
                methods = self._fixed.setdefault(route.path, {})
            methods.setdefault(route.method, dialect)

    def find(self, method: str, path: str) -> tuple[Dialect, dict[str, str]]:
        """The dialect of a path, and the variable parts of it. A slash at the end changes nothing.

        Raises:
            NotFound: no route has the path.
            MethodNotAllowed: routes have the path, and none has the method.
        """
        path, allowed = path.removesuffix("/"), set[str]()
        for methods, params in self._fitting(path):
            if method in methods:
                return methods[method], params
            allowed.update(methods)
        if allowed:
            raise MethodNotAllowed(sorted(allowed))
        raise NotFound

    def _fitting(self, path: str) -> Iterator[tuple[dict[str, Dialect], dict[str, str]]]:
        if path in self._fixed:
            yield self._fixed[path], {}
        for pattern, methods in self._variable.values():
            match = pattern.fullmatch(path)
            if match is not None:
                yield methods, match.groupdict()


def _pattern(path: str) -> re.Pattern[str]:
    # An odd piece of the split is a variable's name, an even one stands for itself.
    pieces = [
        f"(?P<{piece}>[^/]+)" if at % 2 else re.escape(piece)
        for at, piece in enumerate(_VARIABLE.split(path))
    ]
    return re.compile("".join(pieces))
