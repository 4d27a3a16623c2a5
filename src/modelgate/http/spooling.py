"""Spool streamed responses whose length must be known before they are sent."""

from collections.abc import Callable, Iterator
from functools import partial
from tempfile import SpooledTemporaryFile

from ..cancellation import stop_if_abandoned
from .response import Response

__all__ = ["spool"]

_MEMORY = 1024 * 1024
_CHUNK = 64 * 1024


def spool(response: Response, on_close: list[Callable[[], None]]) -> Response:
    """Encode the streamed body of *response* completely, and set its ``Content-Length``.

    Bodies of more than 1 MiB are stored in a temporary file.

    Args:
        response: Response with a streamed body.
        on_close: Callbacks for the end of the request. A callback that removes the file is added.
    """
    file = SpooledTemporaryFile(_MEMORY)  # noqa: SIM115  closed at the end of the request
    on_close.append(file.close)
    for piece in response.body:
        stop_if_abandoned()
        file.write(piece)  # type: ignore[arg-type]  # a body that streams yields bytes
    response.headers.append(("content-length", f"{file.tell()}"))
    file.seek(0)
    chunks: Iterator[bytes] = iter(partial(file.read, _CHUNK), b"")
    response.body = chunks
    return response
