"""Convert text from any charset that Python supports to UTF-8.

The DataRobot Prediction API accepts Python's standard encodings. Names from requests are never passed to
`codecs.lookup` directly, because it caches every name and also finds ``zip`` and ``rot13``.
"""

import encodings
import pkgutil
import re
from collections.abc import Mapping
from encodings.aliases import aliases
from functools import cache

from python_multipart.multipart import parse_options_header

from ..errors import MalformedBody, UnsupportedMediaType

__all__ = ["is_json", "lookup_codec", "media_type", "to_utf8"]

_NO_CHARSETS = {
    *(
        "aliases",
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
    ),
    *("charmap", "idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"),
    "utf_7",  # It can hide markup from filters, so the WHATWG Encoding Standard forbids it.
}
_UTF_8 = ("utf_8", "utf_8_sig")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_MAX_CHARSET, _MAX_CONTENT_TYPE = 40, 1000
# Examples of accepted charsets, for the message and the Accept field of a 415.
_ACCEPTED = ", ".join(
    f"text/csv;charset={name}" for name in ("utf-8", "utf-16", "iso-8859-1", "windows-1252", "shift_jis")
)


def media_type(content_type: str) -> tuple[str, dict[bytes, bytes]]:
    """Return the media type in a ``Content-Type`` value, in lower case, and its parameters."""
    if len(content_type) > _MAX_CONTENT_TYPE:
        return "", {}
    kind, parameters = parse_options_header(content_type)
    return kind.decode("latin-1").lower(), parameters


def is_json(kind: str, parameters: Mapping[bytes, bytes]) -> bool:
    """Return True if the media type *kind* is JSON.

    Args:
        kind: Media type, lower case.
        parameters: Parameters of the media type.

    Raises:
        UnsupportedMediaType: *kind* is JSON, but the charset is not UTF-8 (RFC 8259, section 8.1).
    """
    if kind not in ("application/json", "text/json") and not kind.endswith("+json"):
        return False
    charset = parameters.get(b"charset")
    if charset is not None and _find_codec(charset.decode("latin-1")) not in (*_UTF_8, "ascii"):
        raise UnsupportedMediaType("application/json;charset=utf-8")
    return True


def lookup_codec(charset: str) -> str:
    """Return the name of Python's codec for a charset. Case and punctuation of *charset* do not matter.

    Raises:
        UnsupportedMediaType: *charset* is not a supported text encoding.
    """
    codec = _find_codec(charset)
    if codec is None:
        raise UnsupportedMediaType(_ACCEPTED)
    return codec


@cache
def _codec_names() -> dict[str, str]:
    """Return the text encodings of the standard library, by name and alias."""
    codecs = {module.name for module in pkgutil.iter_modules(encodings.__path__)} - _NO_CHARSETS
    return {name: name for name in codecs} | {name: c for name, c in aliases.items() if c in codecs}


def _find_codec(charset: str) -> str | None:
    if len(charset) > _MAX_CHARSET:
        return None
    return _codec_names().get(_SEPARATORS.sub("_", charset.lower()))


def to_utf8(raw: bytes, codec: str) -> bytes:
    """Convert *raw* from *codec* to UTF-8. If *codec* is UTF-8, *raw* is returned without a check.

    Raises:
        MalformedBody: *raw* is not valid in *codec*.
    """
    if codec in _UTF_8:
        return raw
    try:
        return raw.decode(codec).encode()
    except UnicodeDecodeError as error:
        raise MalformedBody(
            f"The body is not valid {codec} at byte {error.start}: send it in the charset of its Content-Type"
        ) from None
