"""Content codings of a body (RFC 9110, section 8.4.1) undone, under a limit."""

import bz2
import zlib
from collections.abc import Callable
from typing import Any

from ..errors import BodyTooLarge, MalformedBody, UnsupportedMediaType

__all__ = ["unpacked"]

_MEMBERS = 100


def _deflate(raw: bytes) -> Any:
    # What is called deflate is zlib's format (RFC 1950); some senders leave its two bytes of header out.
    headed = len(raw) > 1 and raw[0] & 15 == 8 and (raw[0] << 8 | raw[1]) % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if headed else -zlib.MAX_WBITS)


_DECOMPRESSORS: dict[str, Callable[[bytes], Any]] = {
    "gzip": lambda _: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "x-gzip": lambda _: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "deflate": _deflate,
    "bz2": lambda _: bz2.BZ2Decompressor(),
}


def unpacked(raw: bytes, coding: str, limit: int) -> bytes:
    """*raw* without its content coding.

    Args:
        raw: the body as it was sent.
        coding: the value of the header field: ``gzip``, ``deflate`` or ``bz2``, and no list of them.
        limit: the most bytes it may unpack to.

    Raises:
        UnsupportedMediaType: the coding is another.
        BodyTooLarge: it unpacks to more than *limit*.
        MalformedBody: it is damaged, cut short, or in more than a hundred pieces.
    """
    decompressor = _DECOMPRESSORS.get(coding.strip().lower())
    if decompressor is None:
        raise UnsupportedMediaType("gzip, deflate, bz2", field="Content-Encoding")
    parts, left, size = list[bytes](), raw, 0
    while left:
        stream = decompressor(left)
        try:
            part = stream.decompress(left, limit - size + 1)
        except (zlib.error, OSError, ValueError):
            raise MalformedBody("The body is not what its Content-Encoding says") from None
        parts.append(part)
        size += len(part)
        if size > limit:
            raise BodyTooLarge(limit)
        if not stream.eof or len(parts) > _MEMBERS:
            raise MalformedBody("The body is cut short, or in too many pieces, below its Content-Encoding")
        left = stream.unused_data
    return b"".join(parts)
