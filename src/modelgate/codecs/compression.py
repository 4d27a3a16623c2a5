"""Decompress bodies (content codings of RFC 9110, section 8.4.1), with limits of size and expansion."""

import bz2
import zlib
from collections.abc import Callable
from typing import Any

from ..cancellation import stop_if_abandoned
from ..errors import BodyTooLarge, MalformedBody, UnsupportedMediaType

__all__ = ["COMPRESSED_BODY", "GZIP_MAGIC", "MAX_EXPANSION", "decompress", "max_decompressed_size"]

GZIP_MAGIC = b"\x1f\x8b"
COMPRESSED_BODY = "The body is compressed with gzip: set Content-Encoding: gzip, or send it uncompressed"

MAX_EXPANSION = 500
"""Default limit of a body's size after decompression, as a multiple of its size as sent. Rows of 200 one-hot
columns reach 146 with gzip and 490 with bz2."""

_SMALL = 256 * 1024
"""Size in bytes up to which a body may expand by any factor."""

_MAX_MEMBERS = 100
_STEP = 256 << 10
"""Maximum number of bytes decompressed at once. zlib and bz2 copy these bytes while they hold the GIL."""


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


def max_decompressed_size(sent: int, max_expansion: int) -> int:
    """Return the maximum number of bytes that a body of *sent* bytes may have after decompression."""
    return max(_SMALL, sent * max_expansion)


def decompress(raw: bytes, coding: str, limit: int, max_expansion: int = MAX_EXPANSION) -> bytes:
    """Decompress *raw*.

    Args:
        raw: Body as it was sent.
        coding: Value of ``Content-Encoding``: ``gzip``, ``deflate`` or ``bz2``. Lists are not supported.
        limit: Maximum decompressed size in bytes.
        max_expansion: Maximum decompressed size as a multiple of the size of *raw*. Sizes up to 256 KiB are
            always accepted.

    Raises:
        UnsupportedMediaType: The coding is not supported.
        BodyTooLarge: The decompressed body exceeds one of the limits.
        MalformedBody: The body is corrupt or truncated, or has more than 100 compressed members.
    """
    decompressor = _DECOMPRESSORS.get(coding.strip().lower())
    if decompressor is None:
        raise UnsupportedMediaType("gzip, deflate, bz2", field="Content-Encoding")
    largest = min(limit, max_decompressed_size(len(raw), max_expansion))
    parts, remaining, size, members = list[bytes](), raw, 0, 0
    while remaining:
        stream = decompressor(remaining)
        members += 1
        part = b"."
        while part and not stream.eof:
            try:
                part = stream.decompress(remaining, min(largest - size + 1, _STEP))
            except (zlib.error, OSError, ValueError):
                raise MalformedBody(
                    "The body is not compressed as its Content-Encoding says: correct the field or the body"
                ) from None
            parts.append(part)
            size += len(part)
            if size > largest:
                # Otherwise the traceback of the error would keep the parts in memory.
                parts.clear()
                del part
                raise _too_large(len(raw), limit, max_expansion)
            # zlib returns the input that it has not read; bz2 buffers it.
            remaining = getattr(stream, "unconsumed_tail", b"")
            stop_if_abandoned()
        if not stream.eof or members > _MAX_MEMBERS:
            raise MalformedBody(
                f"The compressed body is truncated or has more than {_MAX_MEMBERS} compressed members:"
                " compress it as one, and send all of it"
            )
        remaining = stream.unused_data
    return b"".join(parts)


def _too_large(sent: int, limit: int, max_expansion: int) -> BodyTooLarge:
    if max_decompressed_size(sent, max_expansion) >= limit:
        return BodyTooLarge(limit)
    return BodyTooLarge(
        max_decompressed_size(sent, max_expansion),
        f"The body expands to more than {max_expansion} times the {sent} bytes sent: send it without"
        " Content-Encoding",
    )
