"""Count and split the items of large JSON arrays without decoding them.

Decoded to Python objects, the items of even a small body can take hundreds of megabytes.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from .json import RAW

__all__ = ["count_items", "split_items"]

_WINDOW = 64 * 1024

_DEPTH_STEPS = np.zeros(256, np.int8)
_DEPTH_STEPS[list(b"[{")] = 1
_DEPTH_STEPS[list(b"]}")] = -1


def count_items(raw: bytes) -> int:
    """Return the number of items in the JSON array *raw*. For invalid JSON, the result is meaningless."""
    return sum(map(len, _item_ends(raw))) + 1 if raw[1:-1].strip() else 0


def split_items(raw: bytes, size: int) -> Iterator[bytes]:
    """Split the valid JSON array *raw*, and yield arrays of at most about *size* bytes.

    An array is larger only if it consists of a single item that is larger than *size*.
    """
    start = 1
    while len(raw) - start > size:
        end = raw.rfind(b"},", start, start + size) + 1
        part = b"[%b]" % raw[start:end]
        # A part that ends within a text or a nested value is not valid JSON.
        if not end or not _is_json(part):
            yield from _split_exactly(b"[" + raw[start:], size)
            return
        yield part
        start = end + 1
    yield b"[" + raw[start:]


def _is_json(raw: bytes) -> bool:
    try:
        RAW.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False
    return True


def _split_exactly(raw: bytes, size: int) -> Iterator[bytes]:
    """Split an array of any items. Searching for ``},`` is ten times faster, but works only for objects."""
    start = last = 1
    for ends in _item_ends(raw):
        while len(ends) and ends[-1] - start > size:
            within = int(np.searchsorted(ends, start + size, "right"))
            end = int(ends[within - 1]) if within else (last if last > start else int(ends[0]))
            yield b"[%b]" % raw[start:end]
            start = last = end + 1
            ends = ends[np.searchsorted(ends, start) :]
        if len(ends):
            last = int(ends[-1])
    if len(raw) - start > size and last > start:
        yield b"[%b]" % raw[start:last]
        start = last + 1
    yield b"[" + raw[start:]


def _item_ends(raw: bytes) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the positions of the commas between the items of *raw*, in one array per section of *raw*."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"..").replace(b'\\"', b"..")
    depth = quotes = 0
    for start in range(0, len(raw), _WINDOW):
        window = np.frombuffer(raw, np.uint8, min(_WINDOW, len(raw) - start), start)
        quotes_before = np.cumsum(window == ord('"'), dtype=np.int32) + quotes
        is_outside = quotes_before % 2 == 0
        depths = np.cumsum(_DEPTH_STEPS[window] * is_outside, dtype=np.int32) + depth
        yield np.flatnonzero((window == ord(",")) & (depths == 1) & is_outside) + start
        quotes, depth = int(quotes_before[-1]), int(depths[-1])
