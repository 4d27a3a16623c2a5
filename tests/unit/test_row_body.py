"""Decoding of row bodies: JSON or CSV, charsets and forms."""

import contextlib
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
    """A form of parts that begin with a Content-Disposition."""
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
def test_json_stays_as_it_is(kind):
    """It is for the schema to read."""

    assert b'[{"a": 1}]' == read(kind, b'[{"a": 1}]')


@pytest.mark.parametrize("kind", ["text/csv", "TEXT/CSV;charset=utf8", 'text/plain; charset="UTF-8"'])
def test_csv_is_marked(kind):
    """Text is CSV."""

    assert CSV(ROWS) == read(kind, ROWS)


@pytest.mark.parametrize(
    "kind",
    ["text/html", "application/x-www-form-urlencoded", "a/b,text/csv", "text", "text/csv " * 200, ";", "é"],
)
def test_other_kinds_are_refused(kind):
    """The refusal says what is read; and the body is not."""
    asked = request(headers={"content-type": kind}, body=ROWS)
    with pytest.raises(UnsupportedMediaType) as info:
        drive(decode_row_body(asked))

    accepted = "application/json, text/csv, text/plain, multipart/form-data"
    assert accepted == info.value.headers["accept"]
    assert asked.body_read is None


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
def test_charsets(name, codec):
    """They are known by the names they are registered under, and Python's."""

    assert codec == lookup_codec(name)
    assert b"a,b\n" == to_utf8("a,b\n".encode(codec), codec).removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("codec", "text"), [("cp1252", "40 €"), ("latin_1", "café"), ("shift_jis", "金額"), ("utf_16", "🎲")]
)
def test_text_becomes_utf_8(codec, text):
    """Whatever it was sent in."""

    assert CSV(text.encode()) == read(f"text/csv; charset={codec}", text.encode(codec))


@pytest.mark.parametrize(
    "charset",
    [
        *("zlib", "bz2", "hex", "base64", "rot13", "uu", "quopri", "zip"),
        *("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "utf-7"),
        *("", "x" * 900, "../utf_8", "encodings.utf_8", "é"),
    ],
)
def test_charsets_that_are_none(charset):
    """What Python calls an encoding and is not text in bytes is refused, and never looked up."""
    with pytest.raises(UnsupportedMediaType):
        read(f"text/csv; charset={charset}", ROWS)


@pytest.mark.parametrize(("codec", "raw"), [("ascii", b"caf\xe9"), ("utf_16", b"a"), ("euc_jp", b"\xff\xff")])
def test_text_in_another_charset(codec, raw):
    """What is not text in the charset told is refused."""
    with pytest.raises(MalformedBody, match=f"is not {codec}"):
        read(f"text/csv; charset={codec}", raw)


def test_utf_8_is_left_for_its_reader():
    """CSV's says the line at fault."""

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
def test_a_file_of_a_form(part, rows):
    """It is CSV unless it says JSON, whatever its file is called."""

    assert rows == read_form((b'name="other"', b"x"), (part, ROWS))


def test_the_charset_of_a_file():
    """A file may tell one of its own."""
    part = b'name="file"; filename="rows.csv"\r\nContent-Type: text/csv; charset=cp1252'

    assert CSV("40 €".encode()) == read_form((part, "40 €".encode("cp1252")))


def test_the_file_of_several_is_called_file():
    """Where there are others it is the one."""

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
def test_forms_without_a_file_to_choose(parts):
    """Which rows are meant is not guessed."""
    with pytest.raises(MalformedBody, match="send one, as the field file"):
        read_form(*parts)


FILE = (b'name="file"; filename="rows.csv"', ROWS)


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        ("multipart/form-data", form(FILE), "has no boundary"),
        ("multipart/form-data; boundary=", form(FILE), "has no boundary"),
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
            "Content-Transfer-Encoding: send it without one",
        ),
    ],
    ids=range(14),
)
def test_forms_that_are_none(content_type, body, told):
    """They are refused."""
    with pytest.raises(MalformedBody, match=told):
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
    """A form of twice the size takes no more than about twice as many calls and lines."""
    small, large = (steps("multipart/form-data; boundary=b", body(size)) for size in (500, 1000))

    assert large < 2.2 * small


def steps(content_type, body):
    """How many lines and calls of Python it takes to read a form."""
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


def test_a_file_of_another_kind():
    """A form may hold CSV or JSON, and no spreadsheet."""
    with pytest.raises(UnsupportedMediaType) as info:
        read_form((b'name="file"\r\nContent-Type: image/png', ROWS))

    assert "text/csv, application/json" == info.value.headers["accept"]


def test_many_false_boundaries_cost_no_more():
    """What looks like a boundary and is none is content, read once."""
    content = b"\r\n--bb" * 500_000

    assert CSV(content) == read_form((b'name="file"', content))


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_any_form_is_read_or_refused(body, boundary):
    """Any bytes at all."""
    for raw in (body, b"--%b\r\n%b" % (boundary, body), form((body, body), boundary=boundary)):
        with contextlib.suppress(MalformedBody):
            assert extract_file(raw, boundary).content in raw


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.binary(max_size=60))
def test_any_content_type_is_read_or_refused(content_type, body):
    """Whatever the header field says."""
    for told in (content_type, f"text/csv;{content_type}", f"multipart/form-data; boundary={content_type}"):
        with contextlib.suppress(MalformedBody, UnsupportedMediaType):
            assert isinstance(read(told, body), bytes | CSV)


@given(st.sampled_from(sorted(set(CHARSETS.values()))), st.text(st.characters(codec="ascii")))
def test_ascii_is_the_same_in_every_charset(codec, text):
    """The law of `to_utf8`."""

    assert text.encode() == to_utf8(text.encode(codec), codec).removeprefix(b"\xef\xbb\xbf")


def test_a_body_that_unpacks_to_too_much():
    """The limit holds before it is read."""
    import gzip

    asked = request(
        headers={"content-type": "text/csv", "content-encoding": "gzip"}, body=gzip.compress(b"1\n" * 1000)
    )
    asked.max_body = 100
    with pytest.raises(BodyTooLarge):
        drive(decode_row_body(asked))
