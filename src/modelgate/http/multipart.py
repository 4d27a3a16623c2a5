"""The one file of a form (``multipart/form-data``, RFC 7578)."""

from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..errors import MalformedBody

__all__ = ["Part", "file_of"]

_MOST_PARTS = 100
_AS_IT_IS = (b"7bit", b"8bit", b"binary")


class Part(NamedTuple):
    """A field of a form.

    Args:
        name: of the field.
        is_file: whether it comes from a file; under which name is nobody's concern.
        content_type: what its header says, None where that says nothing.
        content: its bytes.
    """

    name: bytes
    is_file: bool
    content_type: str | None
    content: bytes


def file_of(raw: bytes, boundary: bytes | None) -> Part:
    """The field ``file`` of the form *raw*; where it has none, its only file.

    Args:
        raw: the body.
        boundary: what the Content-Type says.

    Raises:
        MalformedBody: it is no such form, has more than a hundred fields, or none or several files.
    """
    if not boundary:
        raise MalformedBody("The Content-Type multipart/form-data names no boundary")
    form = _Form(raw)
    try:
        MultipartParser(boundary, form.callbacks).write(raw)  # type: ignore[arg-type]
    except FormParserError:
        raise MalformedBody("The body is not multipart/form-data as its Content-Type says") from None
    if not form.whole:
        raise MalformedBody("The multipart/form-data ends before its last boundary")
    chosen = [part for part in form.parts if part.name == b"file"]
    chosen = chosen or [part for part in form.parts if part.is_file]
    if len(chosen) != 1:
        raise MalformedBody(f"The form has {len(chosen)} files: send one, as the field file")
    return chosen[0]


class _Form:
    """Collects what the parser finds."""

    def __init__(self, raw: bytes) -> None:
        self.parts: list[Part] = []
        self.whole = False
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
        if len(self.parts) == _MOST_PARTS:
            raise MalformedBody(f"The form has more than {_MOST_PARTS} fields")
        self._fields, self._span = {}, slice(0, 0)

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._name = data[start:end].lower()

    def _set_header(self, data: bytes, start: int, end: int) -> None:
        self._fields[self._name] = data[start:end]

    def _set_span(self, data: bytes, start: int, end: int) -> None:  # noqa: ARG002  a callback takes three
        # The parser is given the whole body at once, so a part comes in one piece.
        self._span = slice(start, end)

    def _end_part(self) -> None:
        fields = self._fields
        if fields.get(b"content-transfer-encoding", b"binary").strip().lower() not in _AS_IT_IS:
            raise MalformedBody("A field of the form has a Content-Transfer-Encoding: send it as it is")
        _, told = parse_options_header(fields.get(b"content-disposition"))
        kind = fields.get(b"content-type")
        self.parts.append(
            Part(
                told.get(b"name", b""),
                b"filename" in told,
                kind.decode("latin-1") if kind else None,
                self._raw[self._span],
            )
        )

    def _end(self) -> None:
        self.whole = True
