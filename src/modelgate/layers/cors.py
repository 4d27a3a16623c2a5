"""Cross-origin requests from browsers (CORS)."""

import re
from collections.abc import Iterable
from typing import Literal

from ..errors import ConfigurationError
from ..flow import Flow, Handler
from ..http import Request, Response, call_encoding_errors
from ..validation import require_positive_int

__all__ = ["Cors"]

_ORIGIN = re.compile(r"https?://[^/?#@\s]+")
_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
_REQUESTED_METHOD, _REQUESTED_HEADERS = "access-control-request-method", "access-control-request-headers"


class Cors:
    """Allow web pages of other origins to call the app (CORS, as defined by the Fetch Standard).

    The layer answers preflight requests itself, before a key is required or a limit is counted. Place it
    outside of all layers that reject requests. All other responses, including errors, get the header fields
    that allow the page to read them. Cookies are not allowed: send the key in a header field.

    Args:
        origins: Origins of the pages, such as ``["https://app.example"]``; ``"*"`` for any page.
        max_age: Seconds for which browsers may cache the answer to a preflight request.

    Raises:
        ConfigurationError: An origin has a path or no scheme, or *max_age* is not a positive integer.
    """

    def __init__(self, origins: Iterable[str] | Literal["*"], *, max_age: int = 600) -> None:
        self._origins = None if origins == "*" else _parse_origins(origins)
        require_positive_int("max_age", max_age)
        self._max_age = str(max_age)

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        origin = request.headers.get("origin")
        if origin is not None and request.method == "OPTIONS" and request.headers.get(_REQUESTED_METHOD):
            return self._preflight(request, origin)
        response = yield from call_encoding_errors(request, call_next)
        if self._allow(response, origin):
            # Fetch Standard, 3.3.4: "*" names every field for requests without cookies.
            response.set("access-control-expose-headers", "*")
        return response

    def _preflight(self, request: Request, origin: str) -> Response:
        response = Response(204)
        if self._allow(response, origin):
            response.set("access-control-allow-methods", _METHODS)
            response.set("access-control-allow-headers", request.headers.get(_REQUESTED_HEADERS) or "*")
            response.set("access-control-max-age", self._max_age)
        return response

    def _allow(self, response: Response, origin: str | None) -> bool:
        """Add the header fields that allow *origin* to read the response.

        Return False if *origin* is not permitted.
        """
        if self._origins is None:
            response.set("access-control-allow-origin", "*")
            return True
        # Caches must not answer one origin with the response to another.
        vary = response.header("vary")
        response.set("vary", f"{vary}, Origin" if vary else "Origin")
        if origin is None or origin not in self._origins:
            return False
        response.set("access-control-allow-origin", origin)
        return True


def _parse_origins(origins: Iterable[str]) -> frozenset[str]:
    listed = [origins] if isinstance(origins, str) or not isinstance(origins, Iterable) else list(origins)
    for origin in listed:
        if listed[0] is origins or not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
            raise ConfigurationError(
                'origins must be "*", or a list of origins such as "https://app.example", without a path'
                f" (got {origins!r})"
            )
    # Browsers send the scheme and the host in lower case.
    return frozenset(origin.lower() for origin in listed)
