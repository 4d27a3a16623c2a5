"""Every request has an id, and every answer tells it."""

import re
from random import Random

from ..errors import AnswerableError
from ..flow import Flow, Handler
from ..flow.forks import renew_in_child
from ..http import Request, Response, refusal
from ..keys.digest import SHORTEST

__all__ = ["RequestId"]

# Ids go to logs, where no key may stand, wherever it was sent. So what is as long as a key has a form that
# ids have and generated keys have not: hexadecimal digits in groups (UUID, W3C Trace Context, numbers), ULID.
_USABLE = re.compile(
    rf"[A-Za-z0-9._-]{{1,{SHORTEST - 1}}}"
    r"|(?=.{16,64}\Z)[0-9A-Fa-f]+(-[0-9A-Fa-f]+)*"
    r"|[0-7][0-9A-HJKMNP-TV-Z]{25}"
)


class RequestId:
    """Give each request the id its caller sent as ``X-Request-ID``, or a new one; answers carry it.

    Taken over are ids shorter than a key, hexadecimal digits in groups as of a UUID, and ULIDs.
    """

    def __init__(self) -> None:
        self._renew()
        renew_in_child(self, RequestId._renew)

    def _renew(self) -> None:
        """Numbers of its own, seeded by the system: an id is no secret, and to ask the system for each is slow."""
        self._bits = Random().getrandbits  # noqa: S311

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        told = request.headers.get("x-request-id")
        request.id = told if told is not None and _USABLE.fullmatch(told) else f"{self._bits(128):032x}"
        try:
            response = yield from call_next(request)
        except AnswerableError as error:
            response = refusal(request, error)
        response.set("x-request-id", request.id)
        return response
