"""Streamed responses whose length must be known before they begin."""

from collections.abc import Callable, Iterator
from functools import partial
from tempfile import SpooledTemporaryFile

from ..cancellation import stop_if_abandoned
from .response import Response

__all__ = ["spool"]

_MEMORY = 1024 * 1024
_CHUNK = 64 * 1024


def spool(response: Response, on_close: list[Callable[[], None]]) -> Response:
    """Encode the body of *response*, which streams, and set its ``Content-Length``.

    Bodies of more than 1 MiB are stored in a temporary file.

    Args:
        response: Response with a body that streams.
        on_close: Callbacks of the end of the request, to which the removal of the file is added.
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
