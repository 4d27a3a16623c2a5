"""Extract the file from a form (``multipart/form-data``, RFC 7578)."""

import logging
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..errors import MalformedBody

__all__ = ["Part", "extract_file"]

_NO_LOG = logging.Logger("modelgate", logging.CRITICAL + 1)
_MAX_PARTS = 100
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")


class Part(NamedTuple):
    """Field of a multipart form.

    Args:
        name: Name of the field.
        is_file: Whether the field has a file name.
        content_type: ``Content-Type`` of the field; None if it has none.
        content: Content of the field.
    """

    name: bytes
    is_file: bool
    content_type: str | None
    content: bytes


def extract_file(raw: bytes, boundary: bytes | None) -> Part:
    """Return the field ``file`` of the form *raw*, or the only file if there is no field ``file``.

    Args:
        raw: Body of the request.
        boundary: Boundary from the ``Content-Type``; None if it is missing.

    Raises:
        MalformedBody: *raw* is not a form, has more than 100 fields, or its file is missing or ambiguous.
    """
    if not boundary:
        raise MalformedBody("The Content-Type multipart/form-data must have a boundary")
    form = _Form(raw)
    try:
        parser = MultipartParser(boundary, form.callbacks)  # type: ignore[arg-type]
        # The parser's warnings would repeat what the caller sent.
        parser.logger = _NO_LOG
        parser.write(raw)
    except FormParserError:
        raise MalformedBody(
            "The body is not valid multipart/form-data: check its boundary and its headers"
        ) from None
    if not form.is_complete:
        raise MalformedBody("The multipart/form-data ends before its last boundary: send the whole form")
    files = [part for part in form.parts if part.name == b"file"]
    files = files or [part for part in form.parts if part.is_file]
    if len(files) != 1:
        raise MalformedBody(f"The form has {len(files)} files: send exactly one, in a field named file")
    return files[0]


class _Form:
    """Collector of the fields that the multipart parser finds."""

    def __init__(self, raw: bytes) -> None:
        self.parts: list[Part] = []
        self.is_complete = False
        self._raw = raw
        self._fields: dict[bytes, bytes] = {}
        self._name = b""
        self._span = slice(0, 0)
        self.callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._name_header,
            "on_header_value": self._set_header,
            "on_part_data": self._set_span,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == _MAX_PARTS:
            raise MalformedBody(f"The form has more than {_MAX_PARTS} fields: send only the file")
        self._fields, self._span = {}, slice(0, 0)

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._name = data[start:end].lower()

    def _set_header(self, data: bytes, start: int, end: int) -> None:
        self._fields[self._name] = data[start:end]

    def _set_span(self, data: bytes, start: int, end: int) -> None:  # noqa: ARG002  the parser passes three
        # The parser gets the whole body at once, so the data of a part is contiguous.
        self._span = slice(start, end)

    def _end_part(self) -> None:
        fields = self._fields
        if fields.get(b"content-transfer-encoding", b"binary").strip().lower() not in _PLAIN_ENCODINGS:
            raise MalformedBody(
                "A field of the form has a Content-Transfer-Encoding: send the form without this header"
            )
        _, parameters = parse_options_header(fields.get(b"content-disposition"))
        content_type = fields.get(b"content-type")
        self.parts.append(
            Part(
                parameters.get(b"name", b""),
                b"filename" in parameters,
                content_type.decode("latin-1") if content_type else None,
                self._raw[self._span],
            )
        )

    def _end(self) -> None:
        self.is_complete = True
