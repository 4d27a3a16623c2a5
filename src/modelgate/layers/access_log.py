"""One line in the log for each request."""

import logging
import time

from ..flow import Flow, Handler
from ..http import Request, Response, answered
from ..keys.digest import SHORTEST

__all__ = ["AccessLog"]

logger = logging.getLogger("modelgate.access")

_LINE = (
    "%(client)s %(method)s %(path)s %(status)s %(milliseconds)s ms"
    " key=%(key_id)s deployment=%(deployment)s version=%(version)s request=%(request_id)s"
)
_LONGEST = 200


class AccessLog:
    """Log each request, at the level INFO of the logger ``modelgate.access``.

    A record has the attributes *method*, *path*, *status*, *milliseconds*, *key_id*, *deployment*,
    *version* (of the model that scored), *request_id* and *client*, for a formatter that writes JSON; its
    message has them in a line.
    What is not known is ``-``; a *status* of ``-`` means that no answer was made.

    No key stands in it: the query is left out, the part of the path that a route names ``key`` is
    ``{key}``, and of a path any other part as long as a key is ``***``, unless it is the name of the
    deployment that answered. What a caller sends is escaped and cut off.
    """

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        if not logger.isEnabledFor(logging.INFO):
            return call_next(request)
        return self._logged(request, call_next)

    def _logged(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        start, status = time.perf_counter(), None
        try:
            response = yield from answered(request, call_next)
            status = response.status
            return response
        finally:
            milliseconds = round((time.perf_counter() - start) * 1e3, 3)
            told = {**_told(request, status), "milliseconds": milliseconds}
            logger.info(_LINE, told, extra=told)


def _told(request: Request, status: int | None) -> dict[str, object]:
    # Only where it answered is it sure that what stands for a deployment is the name of one.
    served = request.deployment if status is not None and status < 400 else None
    predictor = request.query.predictor if request.query is not None else None
    return {
        "client": _plain(request.client),
        "method": _plain(_masked(request.method, None)),
        "path": _plain(masked_path(request.root_path + request.path, request.params.get("key"), served)),
        "status": status if status is not None else "-",
        "key_id": _plain(request.principal.id if request.principal is not None else request.key_id),
        "deployment": _plain(_masked(request.deployment or "", served) or None),
        "version": predictor.version if predictor is not None else "-",
        "request_id": _plain(request.id),
    }


def masked_path(path: str, key: str | None, served: str | None) -> str:
    """*path* without what may be a key.

    Args:
        path: percent-decoded.
        key: the part of it that its route calls a key.
        served: a part of it that is surely none.
    """
    return "/".join("{key}" if part == key else _masked(part, served) for part in path.split("/"))


def _masked(part: str, served: str | None) -> str:
    return part if len(part) < SHORTEST or part == served else "***"


def _plain(text: str | None) -> str:
    """*text* as it may stand in a line: printable ASCII, and no more of it than is good."""
    return text.encode("unicode_escape").decode()[:_LONGEST] if text else "-"
