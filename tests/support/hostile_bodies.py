"""Hostile request bodies from a small grammar: about 2,000 for each wire format, the same in every run.

The rows of most bodies are those of `SCHEMA`: one required number, and an optional column of each other kind.
"""

import bz2
import gzip
import json
import random
import struct
import zlib
from functools import cache
from itertools import chain, product
from typing import NamedTuple

from modelgate import Column, Schema
from support.wire_formats import REQUESTS, request_of

SCHEMA = Schema(
    [
        Column("x0", "number"),
        Column("n", "integer", required=False, nullable=True),
        Column("flag", "boolean", required=False, nullable=True),
        Column("city", "text", levels=("Bern", "Köln"), required=False, nullable=True),
        Column("note", "text", required=False, nullable=True),
        Column("when", "datetime", required=False, nullable=True),
    ]
)
JSON = "application/json"


class Body(NamedTuple):
    """A hostile body.

    Args:
        content: The bytes.
        fields: Header fields.
    """

    content: bytes
    fields: dict[str, str]


NUMBERS = (
    "0", "-0", "-0.0", "1e308", "-1e308", "1.7976931348623157e308", "1e309", "-1e999", "1e-400", "5e-324",
    "9007199254740993", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "NaN", "Infinity", "-Infinity", "nan", "+1", "01", "1.", ".5", "1e", "1e+", "--1", "- 1", "0x10", "1_000",
    "1,5", "1 000", "１", "٣", "1e1000000000", "9" * 400, "0." + "0" * 400 + "1", "1" + "0" * 4301, "-",
)  # fmt: skip
TEXTS = (
    '""', '" "', '"1"', '"1e5"', '"1,5"', '"NaN"', '"null"', '"true"', '"Bern"', '"bern"', '"K\\u00f6ln"',
    '"Ko\\u0308ln"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\n\\r\\t\\u001b[2J"', '"\\x41"', '"\\u12"',
    '"\\u202e\\ufeff\\u2028"', '"=1+1"', '"@SUM(A1)"', '"<script>alert(1)</script>"', '"\'; DROP TABLE x; --"',
    '"${jndi:ldap://127.0.0.1/a}"', '"{{7*7}}"', '"%s%n%x"', '"../../etc/passwd"', '"http://127.0.0.1:9/x"',
    '"file:///etc/passwd"', '"data:image/png;base64,AAAA"', '"2024-02-30"', '"2024-01-01T25:00"', '"😀"',
    '"9999-12-31T23:59:59.999999999+23:59"', '"0000-01-01"', '"+292277026596-12-04"', "'x'", '"x', 'x"',
    f'"{"a" * 5000}"', f'"{"é" * 40000}"',
)  # fmt: skip
OTHERS = (
    "true", "false", "null", "True", "None", "undefined", "{}", "[]", "[[]]", "[1]", "[1,2]", "[1,]", "[,1]",
    '{"a":1}', '{"x0":1}', '{"":1}', '{"a":1,"a":2}', '{"a"}', "{1:2}", '{"a":1,}', "[1}", "{]", "/* x */1",
    '{"shape":[1],"data":[1]}', f'{{"shape":[{",".join("1" * 70)}],"data":[1]}}', '{"shape":[2,2],"data":[1,2,3,4]}',
    '{"shape":[-1],"data":[1]}', '{"shape":[9e9,9e9],"data":[]}', '{"shape":[2147483648,4294967296],"data":[1]}', '{"b64":"AAAA"}', '{"b64":"%%%"}', '{"$ref":"#"}', '{"__class__":"os.system"}',
    *("[" * depth + "]" * depth for depth in (10, 100, 1000, 5000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (50, 2000)),
    "[" * 100_000, f"[{','.join('1' * 3000)}]",
)  # fmt: skip
VALUES = (*NUMBERS, *TEXTS, *OTHERS)
COLUMNS = ("n", "flag", "city", "note", "when")


ODD_ROWS = (
    "", " ", "[]", "[{}]", "{}", "[[]]", "[null]", '[{"x0":1},null]', '[{"x0":1},[1]]', '[{"X0":1}]',
)  # fmt: skip


def rows():
    """Yield hostile rows in JSON, each with its values as one column of two rows."""
    for value in VALUES:
        yield f'[{{"x0":{value}}}]', value
        yield f'[{{"x0":1}},{{"x0":{value}}}]', value
        yield f'{{"x0":{value}}}', value
        yield f"[[{value}]]", value
        yield f'[{{"x0":1,"x0":{value}}}]', value
        yield value, value
    for value, column in zip(VALUES * 2, COLUMNS * len(VALUES), strict=False):
        yield f'[{{"x0":1,"{column}":{value}}}]', value
    for name in TEXTS:
        yield f'[{{"x0":1,{name}:1}}]', "1"
    for text in ODD_ROWS:
        yield text, "1"
    for count in (1000, 10_001):
        yield f"[{','.join(['{}'] * count)}]", "1"
        yield f"[{{{','.join(f'{chr(34)}c{i}{chr(34)}:1' for i in range(count))}}}]", "1"


MEMBERS = (
    "rows", "data", "input_data", "instances", "inputs", "dataframe_split", "dataframe_records", "params",
)  # fmt: skip
MEMBER_VALUES = ("null", "1", '"x"', "[]", "{}", "[[1],[2,3]]", '{"x0":[1,2],"n":[1]}')
SPLITS = (
    '{"columns":["x0"],"data":[[1,2]]}', '{"columns":["x0","x0"],"data":[[1,2]]}', '{"columns":[],"data":[]}',
    '{"columns":["x0"],"index":"x","data":1}', '{"data":[[1]]}', '{"columns":{"a":1},"data":[[1]]}',
)  # fmt: skip


def envelopes(dialect):
    """Yield the body of *dialect* around hostile rows, and bodies whose envelope is hostile."""
    template = REQUESTS[dialect][1]
    for text, value in rows():
        body = template.format(rows=text, values=f"[1,{value}]", count=2)
        yield Body(body.encode("utf-8", "surrogatepass"), {"content-type": JSON})
    good = request_of(dialect, [1.0])[1].decode()
    for name, value in product(MEMBERS, MEMBER_VALUES):
        member = f'{{"{name}":{value}}}'
        yield Body(member.encode(), {"content-type": JSON})
        if good.startswith("{"):
            yield Body(f'{good[:-1]},"{name}":{value}}}'.encode(), {"content-type": JSON})
    for split in SPLITS:
        yield Body(f'{{"dataframe_split":{split}}}'.encode(), {"content-type": JSON})


SHAPES = (
    "[1]", "[2]", "[0]", "[-1]", "[1,1]", "[2,2]", "[]", "[1.5]", "[true]", "null", '"1"', "[1e3]",
    "[9223372036854775808]", "[4294967296,4294967296]", "[1000000000]", f"[{','.join('1' * 70)}]",
)  # fmt: skip
TYPES = (
    "FP64", "FP32", "INT8", "UINT64", "BOOL", "BYTES", "FP16", "BF16", "fp64", "", "OBJECT", "\\u0000",
)  # fmt: skip
DATA = (
    "[1]", "[300]", "[-1]", "[true]", '["a"]', "[null]", "[[1]]", "[1,2]", "1", "null", "[1e400]", '["\\ud800"]',
)  # fmt: skip
BINARY_SIZES = ("8", "7", "-8", "1e3", '"8"', "9223372036854775808")


def tensors():
    """Yield requests of tensors whose shapes, data types and data do not fit."""
    cases = (
        *product(SHAPES, TYPES[:2], DATA[:1]),
        *product(SHAPES[:1], TYPES, DATA),
        *product(SHAPES, TYPES[:1], DATA),
    )
    for shape, datatype, values in dict.fromkeys(cases):
        tensor = f'{{"name":"x0","shape":{shape},"datatype":"{datatype}","data":{values}}}'
        yield Body(f'{{"inputs":[{tensor}]}}'.encode(), {"content-type": JSON})
    head = '{"inputs":[{"name":"x0","shape":[1],"datatype":"FP64","parameters":{"binary_data_size":%s}}]}'
    for size, binary in product(BINARY_SIZES, (b"", b"\0" * 8)):
        text = head % size
        for length in (len(text), len(text) + 1, len(text) - 1, 10**20, "x", "+5", ""):
            fields = {
                "content-type": "application/octet-stream",
                "inference-header-content-length": str(length),
            }
            yield Body(text.encode() + binary, fields)


@cache
def bombs():
    """Return pairs of a content coding and a small body that is large when it is decompressed."""
    zeros = bytes(60 << 20)
    return (
        ("gzip", gzip.compress(zeros, mtime=0)),
        ("bz2", bz2.compress(zeros)),
        ("deflate", zlib.compress(b"[" * 2_000_000)),
    )


def in_charsets(text):
    """Yield *text* in charsets that are declared or not."""
    for charset in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "cp037", "utf-7"):
        for declared in (None, charset, "utf-8"):
            content_type = JSON if declared is None else f"{JSON}; charset={declared}"
            yield Body(text.replace("x0", "x0é").encode(charset), {"content-type": content_type})
            yield Body(text.encode(charset), {"content-type": content_type})


CONTENT_TYPES = f"""
text/plain | text/html | text/csv | application/xml | application/x-ndjson | application/x-npy | {JSON};charset=
application/problem+json | application/x-www-form-urlencoded | application/octet-stream | x | / | ; | a/b; c="d
multipart/form-data | multipart/form-data; boundary= | multipart/form-data; boundary=" | APPLICATION/JSON
{JSON}; charset=utf8; charset=utf-16 | {JSON}; charset=rot13 | {JSON},text/csv | {JSON}; charset=idna
{JSON}; charset=../../x | application/{"x" * 5000}
"""


def with_content_types(good):
    """Yield *good* with other content types."""
    for content_type in ("", *CONTENT_TYPES.strip().replace("\n", " | ").split(" | ")):
        yield Body(good, {"content-type": content_type})


CODINGS = (
    "br",
    "zstd",
    "gzip, gzip",
    "gzip,deflate",
    "identity",
    "compress",
    "",
    " ",
    "x" * 3000,
    "*",
    "chunked",
)


def compressed(good):
    """Yield *good* compressed and damaged, with right and wrong content codings, and bodies that are bombs."""
    packed = {"gzip": gzip.compress(good, mtime=0), "deflate": zlib.compress(good), "bz2": bz2.compress(good)}
    for coding, content in packed.items():
        damaged = (
            content[:-5],
            content[:-5] + b"\xff" * 5,
            content * 2,
            content * 200,
            content + b"x",
            content[1:],
        )
        for sent in (content, b"", good, *damaged):
            yield Body(sent, {"content-type": JSON, "content-encoding": coding})
    for coding, content in (*bombs(), *((coding, packed["gzip"]) for coding in CODINGS)):
        yield Body(content, {"content-type": JSON, "content-encoding": coding})


FRAGMENTS = (b"", b"\0", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\xff", b"\xc3", b"e")


def cut_and_changed(good):
    """Yield *good* cut at each byte, with some bytes replaced, and with text around it."""
    for length in range(len(good)):
        yield Body(good[:length], {"content-type": JSON})
    generator = random.Random(22)
    for _ in range(150):
        content = bytearray(good)
        for _ in range(generator.randint(1, 3)):
            start = generator.randrange(len(content) + 1)
            stop = start + generator.choice((0, 1, 1, 4))
            content[start:stop] = generator.choice(FRAGMENTS) * generator.choice((1, 1, 2))
        yield Body(bytes(content), {"content-type": JSON})
    starts = (good, b"\xef\xbb\xbf", b"\0", b"//\n", b"'", b"x(", b")]}',\n", b'"', b" " * 900_000)
    ends = (good, b" x", b"\n\n\0", b"'", b")", b'"', b",", b";")
    for around in (*(start + good for start in starts), *(good + end for end in ends)):
        yield Body(around, {"content-type": JSON})
    yield Body(json.dumps(good.decode()).encode(), {"content-type": JSON})
    yield Body(bytes(60 << 20), {"content-type": JSON})


CELLS = (
    "1", "", " ", '"1"', '"', '""', '"""', '"1', '1"', '1"2"', '"a"b', "1,2", ",", ";", "1;2", "1\t2", "'1'", "\0",
    "NaN", "NULL", "inf", "1e999", "0x1", "1_0", "１", "=1+1", "\ud800", "é", "\r", "\r\r\n", "\x1a", "\x85", "\u2028",
    '"a\nb"', '"a\r\nb', "a" * 200_000, "1" * 5000, "#1", "TRUE", "-", "+1", " 1 ", "1 000", "1,5",
)  # fmt: skip
TABLES = (
    "", "\n", "\n\n\n", "x0", "x0\n", "x0\r1\r", "x0,x0\n1,2\n", ",\n1,2\n", "x0\n1,2,3\n", "a,b\n1\n",
    "\ufeffx0\n1\n", "x0;n\n1;2\n", "x0\tn\n1\t2\n", '"x0\n1\n', "x0,\n1,\n", "X0\n1\n", "sep=;\nx0\n1\n",
    "1\n2\n", "x0\n\n1\n\n", ",".join(f"c{i}" for i in range(20_000)) + "\n1\n",
)  # fmt: skip


def csv_bodies():
    """Yield bodies of CSV: quotes, line ends, headers and charsets."""
    for cell in CELLS:
        for text in (f"x0\n{cell}\n", f"x0,note\n1,{cell}\n1,a\n", f"{cell}\n1\n", f"x0\n1\n{cell}"):
            yield Body(text.encode("utf-8", "surrogatepass"), {"content-type": "text/csv"})
    for text in TABLES:
        yield Body(text.encode(), {"content-type": "text/csv"})
    for charset in ("utf-16", "utf-32", "utf-8-sig", "latin-1", "cp1252"):
        for declared in ("", f"; charset={charset}", "; charset=nonsense", "; header=absent"):
            yield Body("x0,city\n1,Köln\n".encode(charset), {"content-type": f"text/csv{declared}"})


START, END = b"--b\r\n", b"\r\n--b--\r\n"
PART = b'Content-Disposition: form-data; name="file"; filename="../x"\r\n\r\nx0\n1'
FORMS = (
    b"", START, END, START + PART, START + PART + END, START + END, PART + END, START * 200 + PART + END,
    START + PART + b"\r\n" + START + PART + END,
    START + b"Content-Type: text/csv; charset=utf-16\r\n" + PART + END,
    START + b"Content-Disposition\r\n\r\nx0\n1" + END,
    START + b"X: " + b"a" * 100_000 + b"\r\n\r\nx0\n1" + END,
    START + b"A: b\r\n" * 5000 + b"\r\nx0\n1" + END,
    START + b"Content-Transfer-Encoding: base64\r\n" + PART + END,
)  # fmt: skip
NDJSON = (
    b"", b"\n", b'{"x0":1}', b'{"x0":1}\n{"x0":', b'{"x0":1}{"x0":2}', b"1\n2", b"[1]\n", b'\xff\n{"x0":1}',
)  # fmt: skip
NPY_HEADERS = (
    *(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, 1), }}" for descr in ("<f8", "<f16", "<c16", ">i8", "|O", "<U4")),
    *(f"{{'descr': '<f8', 'fortran_order': True, 'shape': {shape}, }}" for shape in ("(10**9, 6)", "(-1, 6)", "1", "(1,) * 70")),
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 6), }",
    "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1, " * 70 + "), }", "{'descr': '<M8[s]', 'shape': ()}", "__import__('os')", "{", "", "[" * 5000,
)  # fmt: skip


def other_files():
    """Yield forms, NDJSON and NumPy files."""
    for content, boundary in product(FORMS, ("b", '"b"', "--b", "x" * 300, "")):
        yield Body(content, {"content-type": f"multipart/form-data; boundary={boundary}"})
    for content in NDJSON:
        yield Body(content, {"content-type": "application/x-ndjson"})
    for version, header, data in product((1, 2, 9), NPY_HEADERS, (b"", struct.pack("<d", 1), bytes(16))):
        size = struct.pack("<H" if version == 1 else "<I", len(header))
        content = b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + data
        yield Body(content, {"content-type": "application/x-npy"})


def hostile_bodies(dialect):
    """Return the bodies for *dialect*."""
    good = request_of(dialect, [1.0])[1]
    bodies = chain(
        envelopes(dialect),
        tensors(),
        csv_bodies(),
        other_files(),
        in_charsets(good.decode()),
        with_content_types(good),
        compressed(good),
        cut_and_changed(good),
    )
    return list({(content, *fields.items()): Body(content, fields) for content, fields in bodies}.values())
