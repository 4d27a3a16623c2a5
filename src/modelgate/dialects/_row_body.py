"""Read rows from a request body: JSON or CSV, sent directly or as a file in a form."""

import re
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from ..codecs.charsets import is_json, lookup_codec, media_type, to_utf8
from ..codecs.json import RAW, decode_json
from ..codecs.multipart import extract_file
from ..errors import MalformedBody, UnsupportedMediaType
from ..flow import Flow
from ..http import Request
from ..http.body import parse_off_loop, read_body
from ..schema import CSV

__all__ = ["decode_row_body"]

_Reader: TypeAlias = Callable[[bytes], bytes | CSV]

_CSV = ("text/csv", "text/plain", "application/csv")
# Browsers and curl use one of the last two types for CSV files that they do not recognize.
_CSV_FILES = (*_CSV, "application/vnd.ms-excel", "application/octet-stream")


_JSON_ROWS = re.compile(rb"\s*(\[\s*\{|\{\s*('|\"[^\"\n]*\"\s*[^\s,]))")
"""Pattern of the start of JSON rows, which excludes CSV headers such as ``[id],[age]`` and ``{"id",age``."""


def decode_row_body(request: Request) -> Flow[bytes | CSV]:
    """Read the rows of the body for a `modelgate.Query`: undecoded JSON, or `CSV`, both in UTF-8.

    A body without a content type is read as JSON, and a file uploaded in a form without one as CSV.
    ``text/plain``, which browsers use for JSON by default, is read as JSON if it is a JSON object or array,
    else as CSV. Text that begins like JSON rows but is not valid JSON is rejected.

    Raises:
        UnsupportedMediaType: The content type is not JSON, CSV or a form, or its charset is not supported.
        BodyTooLarge: The body is larger than `Request.max_body`, as sent or after decompression.
        MalformedBody: The body does not match its content type.
    """
    content_type, parameters = media_type(request.headers.get("content-type") or "application/json")
    if content_type == "multipart/form-data":
        read: _Reader = partial(_read_form, boundary=parameters.get(b"boundary"))
    else:
        accepted = "application/json, text/csv, text/plain, multipart/form-data"
        read = _select_reader(content_type, parameters, _CSV, accepted)
    raw = yield from read_body(request)
    return (yield from parse_off_loop(read, raw))


def _read_form(raw: bytes, boundary: bytes | None) -> bytes | CSV:
    file = extract_file(raw, boundary)
    content_type, parameters = media_type(file.content_type or "text/csv")
    read = _select_reader(content_type, parameters, _CSV_FILES, "text/csv, application/json")
    return read(file.content)


def _select_reader(
    content_type: str, parameters: dict[bytes, bytes], csv: tuple[str, ...], accepted: str
) -> _Reader:
    """Return the reader for *content_type*.

    Args:
        content_type: Media type without parameters.
        parameters: Parameters of the media type, such as its charset.
        csv: Media types that are read as CSV.
        accepted: Media types to list in the error.
    """
    if is_json(content_type, parameters):
        return lambda raw: raw
    if content_type not in csv:
        raise UnsupportedMediaType(accepted)
    codec = lookup_codec(parameters[b"charset"].decode("latin-1")) if b"charset" in parameters else "utf_8"
    return partial(_read_text if content_type == "text/plain" else _read_csv, codec=codec)


def _read_csv(raw: bytes, codec: str) -> CSV:
    return CSV(to_utf8(raw, codec))


def _read_text(raw: bytes, codec: str) -> bytes | CSV:
    text = to_utf8(raw, codec)
    if text.lstrip()[:1] not in (b"{", b"["):
        return CSV(text)
    try:
        decode_json(text, RAW)
    except MalformedBody as error:
        if _JSON_ROWS.match(text):
            reason = error.message.removeprefix("The body is ")
            raise MalformedBody(f"The body looks like JSON, but is {reason}") from None
        return CSV(text)
    return text
