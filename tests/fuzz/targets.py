"""Fuzz targets: functions of bytes that fail if a decoder breaks its promise.

Each decoder may raise the error that its docstring names, and must agree with a slower or an independent decoder
where there is one. `tests/fuzz/run.py` searches for inputs that make a target fail, `test_corpus.py` calls the
targets with all inputs that ever did.
"""

import contextlib
import functools
import hashlib
import io
import json
import zlib

import numpy as np
from sklearn.linear_model import LinearRegression

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage
from modelgate.codecs.charsets import lookup_codec, media_type, to_utf8
from modelgate.codecs.compression import decompress
from modelgate.codecs.json import ANY, decode_allowing_overflow, decode_json, reject_duplicate_names
from modelgate.codecs.multipart import extract_file
from modelgate.codecs.npy import read_npy
from modelgate.dialects.inference_request import read_request
from modelgate.errors import RequestError
from modelgate.models.archive import MANIFEST, ZipArchive, pack
from modelgate.models.load_policy import LoadPolicy
from modelgate.models.package import open_content
from modelgate.schema import CSV, Column, ImageSpec, Schema
from modelgate.schema.csv_decoder import _strip_empty_lines, iter_records
from modelgate.schema.row_validator import validate_rows
from modelgate.testing import Client

TARGETS = {}
SCHEMA = Schema(
    [
        Column("a", minimum=-1e300),
        Column("i", "integer", nullable=True, maximum=1000),
        Column("b", "boolean", required=False),
        Column("t", "text", max_length=8),
        Column("l", "text", levels=("x", "y", "")),
        Column("d", "datetime", nullable=True),
        Column("o", "any", nullable=True),
    ]
)


def target(function):
    """Register *function* as a fuzz target, under its own name."""
    TARGETS[function.__name__] = function
    return function


def split_head(data):
    """Return the text before the first line feed, and the bytes after it."""
    head, _, rest = data.partition(b"\n")
    return head.decode("latin-1"), rest


def read_outcome(read, *args):
    """Return a bitwise comparable result of *read*: the content of the table, or the error."""
    try:
        table = read(*args)
    except RequestError as error:
        return type(error), error.message, error.details
    texts = [[(type(value), value) for value in cells] for cells in table.texts]
    return list(table), table.numbers.tobytes(), texts


@target
def json_values(data):
    """Accepted JSON has the value that the standard library reads."""
    try:
        value = decode_json(data, ANY)
    except RequestError:
        read_error(decode_allowing_overflow, data)
        return
    assert repr(json.loads(data)) == repr(value)
    read_error(reject_duplicate_names, data, -1)


def read_error(function, *args):
    """Call *function* and return the `RequestError` that it raises, or None."""
    try:
        function(*args)
    except RequestError as error:
        return error
    return None


@functools.cache
def untyped_schema():
    schema = Schema(SCHEMA.columns, SCHEMA.options)
    schema._decoder._typed = False
    return schema


@target
def json_rows(data):
    """The typed decoder and the validation of single cells return the same table or the same error."""
    assert read_outcome(untyped_schema().read, data) == read_outcome(SCHEMA.read, data)


@target
def csv_rows(data):
    """The fast paths and the csv module of the standard library return the same table."""
    fast = read_outcome(SCHEMA.read, CSV(data))
    if isinstance(fast[0], list) and b"\0" not in data:
        assert read_outcome(read_csv_by_reference, data) == fast


def read_csv_by_reference(data):
    header, *rows = iter_records(CSV(_strip_empty_lines(data)))
    records = [dict(zip(header, row, strict=True)) for row in rows]
    return validate_rows(SCHEMA.columns, records, SCHEMA.options, text=True)


@target
def npy(data):
    """Accepted files have the values that numpy reads."""
    try:
        rows = read_npy(data)
    except RequestError:
        return
    values = np.load(io.BytesIO(data), allow_pickle=False)
    expected = np.where(values != values, None, values.astype(object)).tolist()
    assert repr(expected) == repr(rows)
    repr(rows).encode()


@target
def tensors(data):
    """Accepted tensors form rows of one length. The first line is the length of the JSON part."""
    length, body = split_head(data)
    try:
        _, rows = read_request(body, length or None)
    except RequestError:
        return
    assert 1 >= len({len(row) for row in rows.data})


@target
def multipart(data):
    """The content of the file is part of the body. The first line is the Content-Type."""
    content_type, body = split_head(data)
    _, parameters = media_type(content_type)
    try:
        part = extract_file(body, parameters.get(b"boundary"))
    except RequestError:
        return
    assert part.content in body
    media_type(part.content_type or "")


@target
def compression(data):
    """No more than the limit is returned, and what zlib accepts is returned as by zlib. The first line is the coding."""
    coding, body = split_head(data)
    try:
        content = decompress(body, coding, 1000)
    except RequestError:
        return
    assert len(content) <= 1000
    if coding == "gzip" and body:
        assert content.startswith(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body))


@target
def charset(data):
    """Accepted text is UTF-8. The first line is the charset."""
    name, body = split_head(data)
    try:
        content = to_utf8(body, codec := lookup_codec(name))
    except RequestError:
        return
    if not codec.startswith("utf_8"):
        content.decode()


@functools.cache
def package_members():
    rows = np.arange(6.0).reshape(3, 2)
    package = ModelPackage.from_estimator(LinearRegression().fit(rows, rows[:, 0]), rows, name="m")
    archive = ZipArchive(io.BytesIO(package.to_bytes()[1]))
    return {name: archive.read(name) for name in sorted(archive.names)}


@target
def package_file(data):
    """The bytes of a package."""
    open_package(data)


@target
def package_member(data):
    """A package in which one member is replaced, with the digests to fit. The first line is its name."""
    name, content = split_head(data)
    members = {**package_members(), name or "model.skops": content}
    if name != MANIFEST:
        manifest = json.loads(members[MANIFEST])
        manifest["members"] = {
            member: {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
            for member, raw in members.items()
            if member != MANIFEST
        }
        members[MANIFEST] = json.dumps(manifest).encode()
    open_package(pack(members))


def open_package(content):
    with contextlib.suppress(ConfigurationError):
        open_content("m.mgpkg", content, LoadPolicy())


def make_deployments():
    """Return functions: ``m`` takes the columns of `SCHEMA`, ``x`` a number, ``p`` an image and a tensor."""
    arrays = Schema.of(photo=ImageSpec(size=(2, 2)), window=Column("window", "tensor", shape=(2, 2)))
    return [
        Deployment("m", lambda table: [0.5] * len(table), schema=SCHEMA),
        Deployment("x", lambda table: table["x0"], schema=Schema.of(x0=float)),
        Deployment("p", lambda table: [0.5] * len(table), schema=arrays),
    ]


@functools.cache
def client():
    return Client(Gate(make_deployments(), keys="open", limits="1000000000/day").wsgi)


@target
def gate(data):
    """No request is answered with 5xx. The lines before the body are the path, the type and the coding."""
    path, rest = split_head(data)
    content_type, rest = split_head(rest)
    coding, body = split_head(rest)
    headers = {"content-type": content_type, "content-encoding": coding}
    headers = {name: value for name, value in headers.items() if value}
    response = client().post("/" + path.lstrip("/"), body=body, headers=headers)
    assert response.status < 500, response.body
