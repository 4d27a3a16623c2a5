"""The rows in a body: JSON or CSV, alone or as the file of a form."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from ..errors import UnsupportedMediaType
from ..flow import Flow
from ..http import Request
from ..http.bodies import content, parsed
from ..http.charsets import codec_of, in_utf8, is_json, media_type
from ..http.multipart import file_of
from ..schema import CSV

__all__ = ["row_body"]

_Reader: TypeAlias = Callable[[bytes], bytes | CSV]

_CSV = ("text/csv", "text/plain", "application/csv")
# What browsers and curl call a file of CSV when they know no better.
_CSV_FILES = (*_CSV, "application/vnd.ms-excel", "application/octet-stream")


def row_body(request: Request) -> Flow[bytes | CSV]:
    """The rows of the body for `modelgate.Query`: raw JSON, or `CSV`, in UTF-8.

    A body that says nothing is taken for JSON, a file that says nothing for CSV.

    Raises:
        UnsupportedMediaType: it says it is something else, or in a charset not read here.
        BodyTooLarge: it is larger than `Request.max_body`, as it was sent or as it unpacks to.
        MalformedBody: it is not what it says.
    """
    read = _reader(request.headers.get("content-type"))
    raw = yield from content(request)
    return (yield from parsed(read, raw))


def _reader(content_type: str | None) -> _Reader:
    """What reads a body of *content_type*."""
    kind, told = media_type(content_type or "application/json")
    if kind == "multipart/form-data":
        return partial(_of_form, boundary=told.get(b"boundary"))
    return _reader_of_rows(kind, told, _CSV, "application/json, text/csv, text/plain, multipart/form-data")


def _of_form(raw: bytes, boundary: bytes | None) -> bytes | CSV:
    part = file_of(raw, boundary)
    kind, told = media_type(part.content_type or "text/csv")
    return _reader_of_rows(kind, told, _CSV_FILES, "text/csv, application/json")(part.content)


def _reader_of_rows(kind: str, told: dict[bytes, bytes], csv: tuple[str, ...], accepted: str) -> _Reader:
    if is_json(kind, told):
        return lambda raw: raw
    if kind not in csv:
        raise UnsupportedMediaType(accepted)
    codec = codec_of(told[b"charset"].decode("latin-1")) if b"charset" in told else "utf_8"
    return lambda raw: CSV(in_utf8(raw, codec))
