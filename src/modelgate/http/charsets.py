"""Text in the charsets that senders use, as UTF-8.

The names are looked up in a table of text encodings, and never given to Python, which would decode
``zip`` and ``rot13`` too, and import a module by any name there is.
"""

import re
from collections.abc import Mapping
from encodings.aliases import aliases

from python_multipart.multipart import parse_options_header

from ..errors import MalformedBody, UnsupportedMediaType

__all__ = ["codec_of", "in_utf8", "is_json", "media_type"]

_CODECS = {
    *("ascii", "utf_8", "utf_8_sig", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"),
    *("latin_1", *(f"iso8859_{part}" for part in (*range(2, 12), 13, 14, 15, 16))),
    *("cp437", "cp850", "cp852", "cp866", *(f"cp{page}" for page in range(1250, 1259))),
    *("koi8_r", "koi8_u", "mac_roman", "big5", "gb2312", "gbk", "gb18030", "cp950"),
    *("euc_jp", "shift_jis", "cp932", "euc_kr", "cp949"),
}
_UTF_8 = ("utf_8", "utf_8_sig")
_NAMES = {name: codec for name, codec in aliases.items() if codec in _CODECS} | {c: c for c in _CODECS}
_BETWEEN = re.compile(r"[^a-z0-9]+")
_LONGEST, _LONGEST_TYPE = 40, 1000
# Some of them: the field Accept of a 415 is for programs, its message for people.
_ACCEPTED = ", ".join(
    f"text/csv;charset={name}" for name in ("utf-8", "utf-16", "iso-8859-1", "windows-1252", "shift_jis")
)


def media_type(content_type: str) -> tuple[str, dict[bytes, bytes]]:
    """The media type of a field Content-Type, in lower case, and its parameters."""
    if len(content_type) > _LONGEST_TYPE:
        return "", {}
    kind, told = parse_options_header(content_type)
    return kind.decode("latin-1"), told


def is_json(kind: str, told: Mapping[bytes, bytes]) -> bool:
    """Whether the media type *kind* with the parameters *told* is JSON, in UTF-8 as all of it (RFC 8259, section 8.1).

    Raises:
        UnsupportedMediaType: it is JSON and says that it is in another charset.
    """
    if kind not in ("application/json", "text/json") and not kind.endswith("+json"):
        return False
    if b"charset" in told and _codec(told[b"charset"].decode("latin-1")) not in (*_UTF_8, "ascii"):
        raise UnsupportedMediaType("application/json;charset=utf-8")
    return True


def codec_of(charset: str) -> str:
    """The codec of a charset, whichever way its name is spelled.

    Raises:
        UnsupportedMediaType: it is none of the text encodings read here.
    """
    codec = _codec(charset)
    if codec is None:
        raise UnsupportedMediaType(_ACCEPTED)
    return codec


def _codec(charset: str) -> str | None:
    return _NAMES.get(_BETWEEN.sub("_", charset.lower())) if len(charset) <= _LONGEST else None


def in_utf8(raw: bytes, codec: str) -> bytes:
    """*raw*, text in *codec*, as UTF-8. What says that it is UTF-8 is left for its reader to check.

    Raises:
        MalformedBody: it is no such text.
    """
    if codec in _UTF_8:
        return raw
    try:
        return raw.decode(codec).encode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not {codec} (byte {error.start})") from None
