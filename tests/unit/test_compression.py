"""Decompression of bodies."""

import bz2
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import CSV, Schema
from modelgate.codecs.compression import decompress
from modelgate.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType


def compress_without_header(raw):
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(raw) + stream.flush()


COMPRESSORS = {"gzip": gzip.compress, "deflate": zlib.compress, "bz2": bz2.compress}


@given(st.binary(max_size=5000), st.sampled_from(sorted(COMPRESSORS)))
def test_decompress_all_codings(raw, coding):
    """Up to the limit, and of several members."""
    compressed = COMPRESSORS[coding](raw)

    assert raw == decompress(compressed, coding, len(raw))
    assert (
        raw + raw == decompress(compressed + compressed, coding.upper(), 2 * len(raw)) or coding == "deflate"
    )
    if raw:
        with pytest.raises(BodyTooLarge):
            decompress(compressed, coding, len(raw) - 1)


def test_decompress_deflate_without_header():
    assert b"rows" * 50 == decompress(compress_without_header(b"rows" * 50), "deflate", 1000)


@pytest.mark.parametrize("coding", sorted(COMPRESSORS))
@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-3], lambda raw: raw[:9] + b"??" + raw[11:], lambda raw: raw + b"x"]
)
def test_decompress_rejects_corrupt_bodies(coding, damage):
    with pytest.raises(MalformedBody):
        decompress(damage(COMPRESSORS[coding](b"0123456789" * 99)), coding, 10_000)


def test_decompress_limits_the_number_of_members():
    """Each costs a decompressor."""
    member = gzip.compress(b"")

    assert b"" == decompress(member * 100, "gzip", 10)
    with pytest.raises(MalformedBody):
        decompress(member * 101, "gzip", 10)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "", "compress", "zip"])
def test_decompress_rejects_other_codings(coding):
    """The response names the supported ones (RFC 9110, section 12.5.3)."""
    with pytest.raises(UnsupportedMediaType) as info:
        decompress(b"x", coding, 10)

    assert {"accept-encoding": "gzip, deflate, bz2"} == info.value.headers


@pytest.mark.parametrize(
    "rows", [gzip.compress(b'{"age": 1}'), CSV(gzip.compress(b"age\n1\n"))], ids=["json", "csv"]
)
def test_compressed_body_without_its_coding_is_named(rows):
    with pytest.raises(
        MalformedBody, match="The body is compressed with gzip: set Content-Encoding: gzip, or"
    ):
        Schema.of(age=float).read(rows)
