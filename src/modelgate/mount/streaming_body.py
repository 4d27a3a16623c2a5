"""Response bodies that are sent while they are encoded."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from ..flow import adrive, run

__all__ = ["StreamingBody"]


class StreamingBody:
    """Response body that calls *on_close* when it ends, fails, is closed or is deleted.

    Deletion matters because some servers do not close a body, and an app may replace a response. Under ASGI,
    each part is encoded in a thread, because encoding takes long.

    Args:
        body: Parts of the body.
        on_close: Function to call once.
    """

    _is_closed = False

    def __init__(self, body: Iterable[bytes], on_close: Callable[[], None]) -> None:
        self._body = body
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        finally:
            self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = iter(self)
        try:
            while (part := await adrive(run(next, parts, None))) is not None:
                yield part
        finally:
            self.close()

    def close(self) -> None:
        """Close the body, and call *on_close* unless it was called before."""
        if self._is_closed:
            return
        try:
            getattr(self._body, "close", lambda: None)()
        finally:
            self._on_close()
        # Last, so that an interrupted call can be repeated.
        self._is_closed = True

    def __del__(self) -> None:
        self.close()
