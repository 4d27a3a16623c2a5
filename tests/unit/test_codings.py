"""Content codings undone, under a limit."""

import bz2
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from modelgate.http.codings import unpacked


def bare_deflate(raw):
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(raw) + stream.flush()


PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "bz2": bz2.compress}


@given(st.binary(max_size=5000), st.sampled_from(sorted(PACKERS)))
def test_what_was_packed_is_unpacked(raw, coding):
    """In every coding, up to the limit and not beyond."""
    packed = PACKERS[coding](raw)

    assert raw == unpacked(packed, coding, len(raw))
    assert raw + raw == unpacked(packed + packed, coding.upper(), 2 * len(raw)) or coding == "deflate"
    if raw:
        with pytest.raises(BodyTooLarge):
            unpacked(packed, coding, len(raw) - 1)


def test_deflate_without_its_header():
    """Some senders leave the two bytes of zlib's header out."""

    assert b"rows" * 50 == unpacked(bare_deflate(b"rows" * 50), "deflate", 1000)


@pytest.mark.parametrize("coding", sorted(PACKERS))
@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-3], lambda raw: raw[:9] + b"??" + raw[11:], lambda raw: raw + b"x"]
)
def test_damage_is_refused(coding, damage):
    """Cut short, overwritten, or with something behind it."""
    with pytest.raises(MalformedBody):
        unpacked(damage(PACKERS[coding](b"0123456789" * 99)), coding, 10_000)


def test_many_pieces_are_refused():
    """Each would cost a decompressor."""
    piece = gzip.compress(b"")

    assert b"" == unpacked(piece * 100, "gzip", 10)
    with pytest.raises(MalformedBody):
        unpacked(piece * 101, "gzip", 10)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "", "compress", "zip"])
def test_other_codings_are_refused(coding):
    """And those that are read are named, in the field RFC 9110 has for it."""
    with pytest.raises(UnsupportedMediaType) as info:
        unpacked(b"x", coding, 10)

    assert {"accept-encoding": "gzip, deflate, bz2"} == info.value.headers
