"""Inputs of the fuzz targets: one of each kind to start from, and every input that was ever found to do harm."""

import bz2
import gzip
import io
import json
import re
import zlib

import numpy as np

from fuzz.targets import package_members
from modelgate.models.archive import MANIFEST, pack
from support.wire_formats import REQUESTS, request_of

ROW = b'{"a":1.5,"i":3,"b":true,"t":"text","l":"x","d":"2024-01-06T10:00:00","o":"any"}'
HEADER = b"a,i,b,t,l,d,o\n"
PIXEL = (
    b"data:image/png;base64,"
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
)
FORM = (
    b"multipart/form-data; boundary=B\n"
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n'
    b"x0,t\n1,2\r\n--B--\r\n"
)


def write_npy(values, **options):
    file = io.BytesIO()
    np.save(file, np.array(values, **options), allow_pickle=False)
    return file.getvalue()


def npy_file(shape, kind, content=b""):
    """Return an ``.npy`` file with any header."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode()
    return b"\x93NUMPY\1\0v\0" + header + b"\n" + content


def tensor(data, **fields):
    return {"name": "x0", "shape": [len(data)], "datatype": "FP64", "data": data, **fields}


def inference_request(*inputs, **fields):
    return json.dumps({"inputs": inputs, **fields}).encode()


def binary_request(datatype, shape, binary):
    """Return an inference request with one binary tensor, below the length of its JSON."""
    size = {"binary_data_size": len(binary)}
    request = {"name": "x0", "shape": shape, "datatype": datatype, "parameters": size}
    raw = json.dumps({"inputs": [request]}).encode()
    return b"%d\n%s%s" % (len(raw), raw, binary)


def package_member(name, content):
    return name.encode() + b"\n" + content


def gate_request(path, body, content_type=b"application/json", coding=b""):
    return b"\n".join([path.encode(), content_type, coding, body])


def one_row(dialect):
    """Return the path and the body of a request for one row of the deployment ``x``."""
    path, body = request_of(dialect, [1.5])
    return re.sub(r"/m\b", "/x", path), body


HOSTILE_JSON = {
    "not a number": b"[NaN]",
    "infinity": b"[-Infinity]",
    "overflow": b"[1e400]",
    "underflow": b"[1e-400]",
    "long integer": b"[" + b"9" * 5000 + b"]",
    "64 bits": b"[18446744073709551615, 18446744073709551616, -9223372036854775809]",
    "deep": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "duplicate": b'{"a":1,"a":2}',
    "escaped duplicate": b'{"a":1,"\\u0061":2}',
    "lone surrogate": b'["\\ud800"]',
    "invalid UTF-8": b'["\xff"]',
    "overlong UTF-8": b'["\xc0\x80"]',
    "byte order mark": b"\xef\xbb\xbf[1]",
    "NUL": b'["\\u0000"]\0',
    "encoded twice": b'"[{\\"a\\":1}]"',
    "unclosed": b'[{"a":1',
    "gzip": gzip.compress(b"[1]", mtime=0),
    "leading zero": b"[01]",
    "negative zero": b"[-0, -0.0]",
    "exponent": b"[1E+2, 1e22, 5e-324]",
}

CORPUS = {
    "json_values": HOSTILE_JSON,
    "json_rows": {
        "row": ROW,
        "rows": b"[" + ROW + b", " + ROW + b"]",
        "none": b"[]",
        "empty row": b"[{}]",
        "nulls": ROW.replace(b"3", b"null"),
        "other kinds": ROW.replace(b"1.5", b'"1.5"').replace(b"true", b"1"),
        "exact": ROW.replace(b"1.5", b"9007199254740993").replace(b"3", b"1e2"),
        **HOSTILE_JSON,
    },
    "csv_rows": {
        "row": HEADER + b"1.5,3,true,text,x,2024-01-06,any\n",
        "quotes": HEADER + b'"1.5"," 3 ",FALSE,"a ""b""\r\n",,NA,007\r\n',
        "numbers": HEADER + b"+1.,1e2,true,t,x,2024-01-06T10:00:00.123456789,1e5\n.5,-0,,t,y,,TRUE\n",
        "ragged": HEADER + b"1\n1,2,3,4,5,6,7,8\n",
        "unclosed quote": HEADER + b'"1,2',
        "NUL": HEADER + b"1,2,true,\0,x,,\n",
        "duplicate column": b"a,a\n1,2\n",
        "lone carriage returns": HEADER.replace(b"\n", b"\r") + b"1,2,true,t,x,,\r",
        "byte order mark": b"\xef\xbb\xbf" + HEADER,
        "semicolons": HEADER.replace(b",", b";") + b"1,5;3;true;t;x;;\n",
        "empty lines": b"\n\n" + HEADER + b"\n\n",
        "long cell": HEADER + b"1" * 140_000 + b",1,true,t,x,,\n",
    },
    "npy": {
        "numbers": write_npy([[1.5, np.nan], [2, 3]]),
        "Fortran order": write_npy(np.asfortranarray([[1, 2, 3], [4, 5, 6]])),
        "big-endian": write_npy([[1, 2]], dtype=">i4"),
        "texts": write_npy([["a", "bc"]]),
        "booleans": write_npy([[True]]),
        "no rows": write_npy(np.empty((0, 3))),
        "no width": write_npy(np.empty((3, 0), "U0")),
        "float16": write_npy([[65504]], dtype="f2"),
        "complex": write_npy([[1j]]),
        "structure": write_npy([(1, 2)], dtype="i4,i4"),
        "lying shape": npy_file((9999999999, 1), "<f8", b"12345678"),
        "negative shape": npy_file((-1, -1), "<f8", b"12345678"),
        "rows without columns": npy_file((9999999999, 0), "<f8"),
        "columns without rows": npy_file((0, 9999999999), "<f8"),
        "texts without characters": npy_file((3, 2), "<U0"),
        "code point out of range": npy_file((1, 1), "<U1", b"\xff\xff\xff\x7f"),
        "lone surrogate": npy_file((1, 1), ">U1", b"\0\0\xd8\0"),
        "object": write_npy([[1.0]]).replace(b"<f8", b"|O "),
        "code": write_npy([[1.0]]).replace(b"'<f8'", b"exit()"),
        "truncated": write_npy([[1.0]])[:-1],
        "version 3": write_npy([[1.0]]).replace(b"NUMPY\x01\x00", b"NUMPY\x03\x00"),
    },
    "tensors": {
        "one column": b"\n" + inference_request(tensor([1, 2.5, None])),
        "matrix": b"\n" + inference_request(tensor([[1, 2], [3, 4]], shape=[2, 2])),
        "nested": b"\n" + inference_request(tensor([[[1], [2]]], shape=[1, 2, 1])),
        "columns": b"\n" + inference_request(tensor([1]), tensor(["a"], name="t", datatype="BYTES"), id="7"),
        "huge shape": b"\n" + inference_request(tensor([1], shape=[2**62, 2**62])),
        "negative shape": b"\n" + inference_request(tensor([1], shape=[-1, -1])),
        "no shape": b"\n" + inference_request(tensor([1], shape=[])),
        "no width": b"\n" + inference_request(tensor([], shape=[3, 0, 2])),
        "long number": b"1_0\n" + inference_request(tensor([1])),
        "binary": binary_request("FP32", [2], b"\0\0\x80?\0\0\xc0\x7f"),
        "binary infinity": binary_request("FP16", [1], b"\0\x7c"),
        "binary texts": binary_request("BYTES", [2], b"\1\0\0\0a\0\0\0\0"),
        "lying text": binary_request("BYTES", [1], b"\xff\xff\xff\xffa"),
        "binary booleans": binary_request("BOOL", [2, 1], b"\0\2"),
        "huge binary shape": binary_request("BYTES", [2**40, 2**20], b""),
    },
    "multipart": {
        "file": FORM,
        "no boundary": FORM.replace(b"boundary", b"b"),
        "unclosed": FORM.replace(b"--B--", b""),
        "two files": FORM.replace(b"--B--", FORM.partition(b"\n")[2]),
        "encoded": FORM.replace(b"Content-Type: text/csv", b"Content-Transfer-Encoding: base64"),
        "many parts": FORM.replace(b"--B--", b"--B\r\nA: b\r\n\r\n\r\n" * 200),
        "long header": FORM.replace(b"text/csv", b"a" * 5000),
        "long boundary": FORM.replace(b"=B", b"=" + b"B" * 500),
        "unusual name": FORM.replace(b'"a.csv"', b"\"a.csv\"; filename*=utf-8''%E2%82%AC"),
    },
    "compression": {
        "gzip": b"gzip\n" + gzip.compress(b"a,b\n1,2\n", mtime=0),
        "gzip members": b"gzip\n" + gzip.compress(b"a", mtime=0) * 3,
        "many members": b"gzip\n" + gzip.compress(b"", mtime=0) * 200,
        "deflate": b"deflate\n" + zlib.compress(b"a,b\n1,2\n"),
        "bare deflate": b"deflate\n" + zlib.compress(b"a,b\n1,2\n")[2:-4],
        "bz2": b"bz2\n" + bz2.compress(b"a,b\n1,2\n"),
        "bz2 bomb": b"bz2\n" + bz2.compress(b"1,1,1,1\n" * 100_000),
        "gzip bomb": b"gzip\n" + gzip.compress(b"0" * 1_000_000, mtime=0),
        "truncated": b"gzip\n" + gzip.compress(b"a,b\n1,2\n", mtime=0)[:-1],
        "unknown": b"br\nabc",
    },
    "charset": {
        "latin": "iso-8859-1\né".encode("latin-1"),
        "UTF-16": b"UTF-16\n" + "a,b\n\U0001f600".encode("utf-16"),
        "UTF-16 surrogate": b"utf-16-le\n\x00\xd8",
        "UTF-32": b"utf_32\n\xff\xff\xff\xff",
        "Shift JIS": "shift_jis\n日本".encode("shift_jis"),
        "escapes": b"iso2022_jp\n\x1b$B\x1b(B",
        "no text": b"zip\nabc",
        "UTF-7": b"utf-7\n+ADw-",
    },
    "package_file": {
        "package": pack(package_members()),
        "truncated": pack(package_members())[:-1],
        "no zip": b"PK\x05\x06" + b"\0" * 18,
        "unknown member": pack({**package_members(), "../evil": b""}),
    },
    "package_member": {
        **{name: package_member(name, content) for name, content in package_members().items()},
        "empty manifest": package_member(MANIFEST, b"{}"),
        "deep schema": package_member("schema.json", b"[" * 5000),
        "schema without columns": package_member("schema.json", b'{"columns": []}'),
        "pattern": package_member(
            "schema.json", b'{"columns": [{"name": "x0", "kind": "text", "pattern": "("}]}'
        ),
        "pickle": package_member("model.joblib", b"cos\nsystem\n(S'true'\ntR."),
        "background": package_member("background.json", b"[1]"),
        "example": package_member("example.json", b"[]"),
        "statistics": package_member("statistics.json", b"[[]]"),
    },
    "gate": {
        **{name: gate_request(*one_row(name)) for name in REQUESTS},
        "native rows": gate_request("/deployments/m/predict?passthrough=t", b'{"rows":[' + ROW + b"]}"),
        "CSV": gate_request("/deployments/x/predict", b"x0\n1\n", b"text/csv"),
        "npy": gate_request("/deployments/x/predict", write_npy([[1.0]]), b"application/x-npy"),
        "NDJSON": gate_request("/deployments/x/predict", b'{"x0":1}\n{"x0":2}\n', b"application/x-ndjson"),
        "form": gate_request(
            "/deployments/x/predictions", FORM.partition(b"\n")[2], FORM.partition(b"\n")[0]
        ),
        "image": gate_request("/simple/p", b'{"photo":"%s","window":[[1,2],[3,4]]}' % PIXEL),
        "damaged image": gate_request("/simple/p", b'{"photo":"%s","window":[[1]]}' % PIXEL[:60]),
        "mlclever with a deployment": gate_request(
            "/api/predict", b'{"deployment":"m","input_data":[' + ROW + b"]}"
        ),
        "bz2 bomb": gate_request(
            "/predApi/v1.0/deployments/x/predictions",
            bz2.compress(b"x0\n" + b"1\n" * 20_000),
            b"text/csv",
            b"bz2",
        ),
        "gzip of numbers": gate_request(
            "/deployments/x/predictions",
            gzip.compress(b"[" + b"1," * 50_000 + b"1]", mtime=0),
            coding=b"gzip",
        ),
        "array of numbers": gate_request("/v1/models/x:predict", b'{"instances":[' + b"1," * 50_000 + b"1]}"),
        "empty rows": gate_request("/deployments/m/predictions", b"[" + b"{}," * 20_000 + b"{}]"),
        "curves": gate_request("/deployments/x/curves", b'{"row":{"x0":1},"column":"x0"}'),
        "list": gate_request("/v2/repository/index", b"{}"),
        "odd path": gate_request("/deployments/%00/..%2f/predict", b"{}"),
    },
}
