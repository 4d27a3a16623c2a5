"""Decoding of row bodies: JSON or CSV, charsets and forms."""

import contextlib
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import drive
from modelgate.codecs.charsets import lookup_codec, to_utf8
from modelgate.codecs.multipart import extract_file
from modelgate.dialects._row_body import decode_row_body
from modelgate.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from modelgate.schema import CSV
from modelgate.testing import request

ROWS = b"a,b\n1,2\n"


def read(content_type, body):
    headers = {} if content_type is None else {"content-type": content_type}
    return drive(decode_row_body(request(headers=headers, body=body)))


def form(*parts, boundary=b"b", end=b"--"):
    """Return a form of *parts*, pairs of a Content-Disposition and a content."""
    body = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary, head, content)
        for head, content in parts
    )
    return body + b"--%b%b\r\n" % (boundary, end)


def read_form(*parts):
    return read("multipart/form-data; boundary=b", form(*parts))


@pytest.mark.parametrize(
    "kind",
    [None, "application/json", "Text/JSON", "application/vnd.rows+json; x=1", "text/json;charset=US-ASCII"],
)
def test_json_is_returned_undecoded(kind):
    """JSON bodies are decoded later, by the schema."""
    assert b'[{"a": 1}]' == read(kind, b'[{"a": 1}]')


@pytest.mark.parametrize("kind", ["text/csv", "TEXT/CSV;charset=utf8", 'text/plain; charset="UTF-8"'])
def test_text_is_returned_as_csv(kind):
    """Bodies of both text media types are wrapped in `CSV`."""
    assert CSV(ROWS) == read(kind, ROWS)


@pytest.mark.parametrize("kind", ["text/plain", "text/plain;charset=UTF-8"])
@pytest.mark.parametrize("body", [b'[{"a": 1}]', b' {"a": 1}\n', b"[]"])
def test_plain_text_that_is_json_is_returned_undecoded(kind, body):
    """As `fetch` in a browser sends a string."""
    assert body == read(kind, body)
    assert body == read_form((b'name="file"; filename="rows.txt"\r\nContent-Type: ' + kind.encode(), body))


@pytest.mark.parametrize(
    "body", [b"[age],[plan]\n41,pro\n", b"[1]\n2\n", b'{"a",b\n1,2\n', b"[" * 5000, b"1\n", b'"a"\n1\n']
)
def test_plain_text_that_is_not_wholly_json_is_csv(body):
    """Names of columns can begin with brackets."""
    assert CSV(body) == read("text/plain", body)


def test_plain_text_in_another_charset_is_json_in_utf8():
    assert '["é"]'.encode() == read("text/plain; charset=utf-16", '["é"]'.encode("utf-16"))


@pytest.mark.parametrize(
    "kind",
    ["text/html", "application/x-www-form-urlencoded", "a/b,text/csv", "text", "text/csv " * 200, ";", "é"],
)
def test_other_media_types_are_rejected(kind):
    """The error lists the accepted media types, and the body is not read."""
    sent = request(headers={"content-type": kind}, body=ROWS)
    with pytest.raises(UnsupportedMediaType) as info:
        drive(decode_row_body(sent))

    accepted = "application/json, text/csv, text/plain, multipart/form-data"
    assert accepted == info.value.headers["accept"]
    assert sent.body_read is None


CHARSETS = {
    "utf-8": "utf_8",
    "UTF8": "utf_8",
    "utf-8-sig": "utf_8_sig",
    "utf-16": "utf_16",
    "UTF-16LE": "utf_16_le",
    "utf-16be": "utf_16_be",
    "us-ascii": "ascii",
    "ISO-8859-1": "latin_1",
    "latin-1": "latin_1",
    "iso-8859-15": "iso8859_15",
    "windows-1252": "cp1252",
    "cp1250": "cp1250",
    "windows-1251": "cp1251",
    "Shift_JIS": "shift_jis",
    "euc-jp": "euc_jp",
    "GB18030": "gb18030",
    "big5": "big5",
    "euc-kr": "euc_kr",
    "koi8-r": "koi8_r",
    "koi8-t": "koi8_t",
    "cp037": "cp037",
    "johab": "johab",
    "mac-latin2": "mac_latin2",
    "utf-32-be": "utf_32_be",
}


@pytest.mark.parametrize(("name", "codec"), CHARSETS.items())
def test_charset_names_are_recognized(name, codec):
    """Both the registered names of charsets and those of Python are accepted."""
    assert codec == lookup_codec(name)
    assert b"a,b\n" == to_utf8("a,b\n".encode(codec), codec).removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("codec", "text"), [("cp1252", "40 €"), ("latin_1", "café"), ("shift_jis", "金額"), ("utf_16", "🎲")]
)
def test_text_is_converted_to_utf_8(codec, text):
    """Text in any supported charset is converted."""
    assert CSV(text.encode()) == read(f"text/csv; charset={codec}", text.encode(codec))


@pytest.mark.parametrize(
    "charset",
    [
        *("zlib", "bz2", "hex", "base64", "rot13", "uu", "quopri", "zip"),
        *("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "utf-7"),
        *("", "x" * 900, "../utf_8", "encodings.utf_8", "é"),
    ],
)
def test_unknown_charsets_are_rejected(charset):
    """This includes codecs of Python that do not encode text, such as zlib."""
    with pytest.raises(UnsupportedMediaType):
        read(f"text/csv; charset={charset}", ROWS)


@pytest.mark.parametrize(("codec", "raw"), [("ascii", b"caf\xe9"), ("utf_16", b"a"), ("euc_jp", b"\xff\xff")])
def test_text_in_another_charset_is_rejected(codec, raw):
    """The bytes must be valid in the charset of the content type."""
    with pytest.raises(MalformedBody, match=f"is not valid {codec}"):
        read(f"text/csv; charset={codec}", raw)


def test_invalid_utf_8_is_returned_unchecked():
    """The CSV decoder rejects it later, and names the line."""
    assert CSV(b"\xff") == read("text/csv; charset=utf-8", b"\xff")


@pytest.mark.parametrize(
    ("part", "rows"),
    [
        (b'name="file"; filename="rows.csv"\r\nContent-Type: text/csv', CSV(ROWS)),
        (b'name="file"; filename="rows.csv"\r\nContent-Type: application/vnd.ms-excel', CSV(ROWS)),
        (b'name="file"; filename="../../etc/passwd"\r\nContent-Type: application/octet-stream', CSV(ROWS)),
        (b'name="file"; filename=rows.json', CSV(ROWS)),
        (b'name="data"; filename="rows.csv"', CSV(ROWS)),
        (b'name="file"', CSV(ROWS)),
        (b'name="file"\r\nContent-Type: application/json', ROWS),
        (b'name="file"\r\nContent-Transfer-Encoding: Binary', CSV(ROWS)),
    ],
)
def test_form_file_is_csv_unless_its_content_type_is_json(part, rows):
    """The file name does not matter."""
    assert rows == read_form((b'name="other"', b"x"), (part, ROWS))


def test_form_file_can_have_its_own_charset():
    """The charset in the headers of the file is used."""
    part = b'name="file"; filename="rows.csv"\r\nContent-Type: text/csv; charset=cp1252'

    assert CSV("40 €".encode()) == read_form((part, "40 €".encode("cp1252")))


def test_form_field_named_file_is_chosen_among_several():
    """Other files in the form are ignored."""
    assert CSV(b"1") == read_form((b'name="a"; filename="a"', b"0"), (b'name="file"; filename="b"', b"1"))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(b'name="rows"', ROWS)],
        [(b'name="a"; filename="a"', ROWS), (b'name="b"; filename="b"', ROWS)],
        [(b'name="file"', ROWS), (b'name="file"', ROWS)],
    ],
)
def test_forms_without_one_clear_file_are_rejected(parts):
    """The reader does not guess which file has the rows."""
    with pytest.raises(MalformedBody, match="send exactly one, in a field named file"):
        read_form(*parts)


FILE = (b'name="file"; filename="rows.csv"', ROWS)


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("multipart/form-data", form(FILE), "must have a boundary"),
        ("multipart/form-data; boundary=", form(FILE), "must have a boundary"),
        (f"multipart/form-data; boundary={'x' * 300}", form(FILE), "not valid multipart/form-data"),
        ("multipart/form-data; boundary=other", form(FILE), "not valid multipart/form-data"),
        ("multipart/form-data; boundary=b", b"", "ends before"),
        ("multipart/form-data; boundary=b", ROWS, "not valid multipart/form-data"),
        ("multipart/form-data; boundary=b", form(FILE)[:-8], "ends before"),
        ("multipart/form-data; boundary=b", form(FILE, end=b""), "ends before"),
        ("multipart/form-data; boundary=b", form(*[FILE] * 10_000), "more than 100 fields"),
        (
            "multipart/form-data; boundary=b",
            form((b"x\r\n" + b"a: b\r\n" * 10_000, b"")),
            "not valid multipart",
        ),
        ("multipart/form-data; boundary=b", form((b"x" * 10_000_000, ROWS)), "not valid multipart"),
        ("multipart/form-data; boundary=b", b"\r\n" * 1_000_000, "ends before"),
        ("multipart/form-data; boundary=b", b"\r-" * 1_000_000, "not valid multipart"),
        (
            "multipart/form-data; boundary=b",
            form((b'name="file"\r\nContent-Transfer-Encoding: base64', b"YQ==")),
            "Content-Transfer-Encoding: send the form without this header",
        ),
    ],
    ids=range(14),
)
def test_invalid_forms_are_rejected(content_type, body, message):
    """The message names the problem."""
    with pytest.raises(MalformedBody, match=message):
        read(content_type, body)


@pytest.mark.parametrize(
    "body",
    [
        lambda size: form((b"x\r\n" + b"a: b\r\n" * size, b"")),
        lambda size: form((b"x" * size, ROWS)),
        lambda size: b"\r\n" * size,
        lambda size: b"\r-" * size,
        lambda size: form((b'name="file"; filename="f"', b"\r\n-" * size)),
        lambda size: form((b'name="file"; filename="f"', b"\r\n--a" * size)),
    ],
    ids=range(6),
)
def test_forms_take_time_in_proportion_to_their_size(body):
    """A form of twice the size takes at most about twice as many Python lines and calls."""
    small, large = (count_steps("multipart/form-data; boundary=b", body(size)) for size in (500, 1000))

    assert large < 2.2 * small


def count_steps(content_type, body):
    """Return how many lines and calls of Python it takes to read a form."""
    count = 0

    def trace(*_):
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(MalformedBody):
            read(content_type, body)
    finally:
        sys.settrace(before)
    return count


def test_form_file_of_another_media_type_is_rejected():
    """A file in a form must be CSV or JSON."""
    with pytest.raises(UnsupportedMediaType) as info:
        read_form((b'name="file"\r\nContent-Type: image/png', ROWS))

    assert "text/csv, application/json" == info.value.headers["accept"]


@pytest.mark.slow
def test_many_false_boundaries_are_read_as_content():
    """Text that looks like the start of a boundary is part of the file."""
    content = b"\r\n--bb" * 500_000

    assert CSV(content) == read_form((b'name="file"', content))


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_any_form_is_read_or_rejected(body, boundary):
    """No bytes raise another error than `MalformedBody`."""
    for raw in (body, b"--%b\r\n%b" % (boundary, body), form((body, body), boundary=boundary)):
        with contextlib.suppress(MalformedBody):
            assert extract_file(raw, boundary).content in raw


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.binary(max_size=60))
def test_any_content_type_is_read_or_rejected(content_type, body):
    """No content type raises another error."""
    for header in (content_type, f"text/csv;{content_type}", f"multipart/form-data; boundary={content_type}"):
        with contextlib.suppress(MalformedBody, UnsupportedMediaType):
            assert isinstance(read(header, body), bytes | CSV)


@given(st.sampled_from(sorted(set(CHARSETS.values()))), st.text(st.characters(codec="ascii")))
def test_ascii_text_survives_every_charset(codec, text):
    """ASCII text that is encoded in any charset and converted by `to_utf8` is unchanged."""
    assert text.encode() == to_utf8(text.encode(codec), codec).removeprefix(b"\xef\xbb\xbf")


def test_body_that_decompresses_to_too_much_is_rejected():
    """The size limit applies to the decompressed body."""
    import gzip

    sent = request(
        headers={"content-type": "text/csv", "content-encoding": "gzip"}, body=gzip.compress(b"1\n" * 1000)
    )
    sent.max_body = 100
    with pytest.raises(BodyTooLarge):
        drive(decode_row_body(sent))


@pytest.mark.parametrize(
    "body", [b"--c\r\n\r\n", b"--b\r\n: secret\r\n\r\n", form(FILE)[:20], form(FILE) + b"secret"]
)
def test_form_logs_nothing(body, caplog):
    """Not even the warnings of the parser, which repeat what the caller sent."""
    caplog.set_level(logging.DEBUG)
    with contextlib.suppress(MalformedBody):
        extract_file(body, b"b")

    assert [] == caplog.records
