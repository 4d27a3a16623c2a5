"""Decompress bodies (content codings of RFC 9110, section 8.4.1) up to a size limit."""

import bz2
import zlib
from collections.abc import Callable
from typing import Any

from ..errors import BodyTooLarge, MalformedBody, UnsupportedMediaType

__all__ = ["COMPRESSED_BODY", "GZIP_MAGIC", "decompress"]

GZIP_MAGIC = b"\x1f\x8b"
COMPRESSED_BODY = "The body is compressed with gzip: set Content-Encoding: gzip, or send it uncompressed"

_MAX_MEMBERS = 100


def _deflate_decompressor(raw: bytes) -> Any:
    # "deflate" is the zlib format (RFC 1950), but some senders omit its header of two bytes.
    has_header = len(raw) > 1 and raw[0] & 15 == 8 and (raw[0] << 8 | raw[1]) % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


_DECOMPRESSORS: dict[str, Callable[[bytes], Any]] = {
    "gzip": lambda _: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "x-gzip": lambda _: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "deflate": _deflate_decompressor,
    "bz2": lambda _: bz2.BZ2Decompressor(),
}


def decompress(raw: bytes, coding: str, limit: int) -> bytes:
    """Decompress *raw*.

    Args:
        raw: Body as it was sent.
        coding: Value of ``Content-Encoding``: ``gzip``, ``deflate`` or ``bz2``. Lists are not supported.
        limit: Largest decompressed size in bytes.

    Raises:
        UnsupportedMediaType: The coding is not supported.
        BodyTooLarge: The decompressed body is larger than *limit*.
        MalformedBody: The body is corrupt or truncated, or has more than 100 compressed members.
    """
    decompressor = _DECOMPRESSORS.get(coding.strip().lower())
    if decompressor is None:
        raise UnsupportedMediaType("gzip, deflate, bz2", field="Content-Encoding")
    parts, remaining, size = list[bytes](), raw, 0
    while remaining:
        stream = decompressor(remaining)
        try:
            part = stream.decompress(remaining, limit - size + 1)
        except (zlib.error, OSError, ValueError):
            raise MalformedBody(
                "The body is not compressed as its Content-Encoding says: correct the field or the body"
            ) from None
        parts.append(part)
        size += len(part)
        if size > limit:
            raise BodyTooLarge(limit)
        if not stream.eof or len(parts) > _MAX_MEMBERS:
            raise MalformedBody(
                "The compressed body is truncated or has too many parts: send all of it in one part"
            )
        remaining = stream.unused_data
    return b"".join(parts)
