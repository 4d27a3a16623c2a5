"""Access log with one line per request."""

import logging
import time
from collections.abc import Container

from ..context import RequestContext
from ..flow import Flow, Handler
from ..http import Request, Response, call_encoding_errors
from ..keys.digest import MIN_KEY_LENGTH

__all__ = ["AccessLog"]

logger = logging.getLogger("modelgate.access")

_LINE = (
    "%(client)s %(method)s %(path)s %(status)s %(milliseconds)s ms"
    " key=%(key_id)s deployment=%(deployment)s version=%(version)s request=%(request_id)s"
)
_MAX_LENGTH = 200


class AccessLog:
    """Log each request, at the level INFO of the logger ``modelgate.access``.

    A log record has the attributes *method*, *path*, *status*, *milliseconds*, *key_id*, *deployment*,
    *version* (of the model that scored), *request_id* and *client*, which a JSON formatter can use. The
    message of the record contains all of them in one line. Unknown values are ``-``. A *status* of ``-``
    means that there was no response.

    The log contains no keys. The query is omitted. In the path, the value of the route parameter ``key`` is
    replaced by ``{key}``. Any other part that is long enough to be a key is replaced by ``***``, unless it is
    a name in *deployments*. Text from the caller is escaped and truncated to 200 characters.

    Args:
        deployments: Names of the deployments, which are never masked.
    """

    def __init__(self, deployments: Container[str] = ()) -> None:
        self._deployments = deployments

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        return self._log(request, call_next) if self.is_enabled() else call_next(request)

    def is_enabled(self) -> bool:
        """Return whether the logger records messages of the level INFO."""
        return logger.isEnabledFor(logging.INFO)

    def _log(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        started_at, status = time.perf_counter(), None
        try:
            response = yield from call_encoding_errors(request, call_next)
            status = response.status
            return response
        finally:
            self.write(request, status, started_at)

    def write(self, request: Request, status: int | None, started_at: float) -> None:
        """Log one line for *request*.

        Args:
            request: Request to log.
            status: Status of the response; None if there was none.
            started_at: Start of the request, on the clock of `time.perf_counter`.
        """
        milliseconds = round((time.perf_counter() - started_at) * 1e3, 3)
        name = request.context.deployment
        name = name if name in self._deployments else None
        attributes = {**_attributes(request, status, name), "milliseconds": milliseconds}
        logger.info(_LINE, attributes, extra=attributes)


def _attributes(request: Request, status: int | None, name: str | None) -> dict[str, object]:
    context: RequestContext = request.context
    predictor = context.query.predictor if context.query is not None else None
    return {
        "client": _escape(request.client),
        "method": _escape(_mask(request.method, None)),
        "path": _escape(redact_path(request.root_path + request.path, request.params.get("key"), name)),
        "status": status if status is not None else "-",
        "key_id": _escape(context.principal.id if context.principal is not None else context.key_id),
        "deployment": _escape(_mask(context.deployment or "", name) or None),
        "version": predictor.version if predictor is not None else "-",
        "request_id": _escape(request.id),
    }


def redact_path(path: str, key: str | None, name: str | None) -> str:
    """Return *path* with every part masked that may be an API key.

    Args:
        path: Percent-decoded path.
        key: Value of ``{key}`` in the path of the route, or None.
        name: Deployment name, which is never masked.
    """
    return "/".join("{key}" if part == key else _mask(part, name) for part in path.split("/"))


def _mask(part: str, name: str | None) -> str:
    return part if len(part) < MIN_KEY_LENGTH or part == name else "***"


def _escape(text: str | None) -> str:
    """Return *text* as printable ASCII, truncated to `_MAX_LENGTH` characters.

    Return ``-`` for None or an empty text.
    """
    return text.encode("unicode_escape").decode()[:_MAX_LENGTH] if text else "-"
