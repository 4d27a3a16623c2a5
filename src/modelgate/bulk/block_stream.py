"""Streams that read their bytes from an iterator of blocks."""

import io
from collections.abc import Iterator
from typing import Any

__all__ = ["open_blocks"]

_BUFFER = 1 << 17


def open_blocks(blocks: Iterator[bytes]) -> io.BufferedReader:
    """Return a stream of the bytes in *blocks*. The iterator advances as the stream is read."""
    return io.BufferedReader(_BlockStream(blocks), _BUFFER)


class _BlockStream(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._block = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._block:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._block = memoryview(block)
        size = min(len(buffer), len(self._block))
        buffer[:size], self._block = self._block[:size], self._block[size:]
        return size
