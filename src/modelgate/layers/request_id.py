"""Request ids."""

import re
from random import Random

from ..errors import AnswerableError
from ..flow import Flow, Handler
from ..flow.fork_safety import reset_after_fork
from ..http import Request, Response, encode_error
from ..keys.digest import MIN_KEY_LENGTH

__all__ = ["RequestId"]

# Ids are logged, and a caller may send a key as an id by mistake. Ids that are as long as a key must
# therefore have a form that generated keys do not have: groups of hexadecimal digits (UUID, W3C Trace
# Context, numbers) or a ULID.
_USABLE = re.compile(
    rf"[A-Za-z0-9._-]{{1,{MIN_KEY_LENGTH - 1}}}"
    r"|(?=.{16,64}\Z)[0-9A-Fa-f]+(-[0-9A-Fa-f]+)*"
    r"|[0-7][0-9A-HJKMNP-TV-Z]{25}"
)


class RequestId:
    """Set `Request.id` to the ``X-Request-ID`` of the caller or a new id, and add it to the response.

    The caller's id is used if it has one of these forms, which API keys do not have:

    - fewer than 16 characters, the minimum length of an API key;
    - groups of hexadecimal digits, such as a UUID;
    - a ULID.

    Any other id is replaced by a new one.
    """

    def __init__(self) -> None:
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        # Ids are not secret, and calling `os.urandom` for each would be slow.
        self._bits = Random().getrandbits  # noqa: S311

    def __call__(self, request: Request, call_next: Handler[Request, Response]) -> Flow[Response]:
        request.id = self.choose(request)
        try:
            response = yield from call_next(request)
        except AnswerableError as error:
            response = encode_error(request, error)
        response.set("x-request-id", request.id)
        return response

    def choose(self, request: Request) -> str:
        """Return the caller's id if it has a permitted form, or else a new id."""
        sent = request.headers.get("x-request-id")
        return sent if sent is not None and _USABLE.fullmatch(sent) else f"{self._bits(128):032x}"
