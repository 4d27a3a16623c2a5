"""Strict JSON decoder."""

import msgspec
import pytest

from modelgate.codecs.json import MAX_DEPTH, decode_json, reject_deep_nesting, reject_duplicate_names
from modelgate.errors import MalformedBody

ANY = msgspec.json.Decoder()
NUMBERS = msgspec.json.Decoder(list[int])


def nest_arrays(depth):
    """Return *depth* nested arrays."""
    return [] if depth == 1 else [nest_arrays(depth - 1)]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b"NaN", "not valid JSON"),
        (b"[1,]", "not valid JSON"),
        (b"1 2", "not valid JSON"),
        (b"\xef\xbb\xbf[]", "not valid JSON"),
        (b'"\xff"', "not UTF-8 (byte 1)"),
        (b'{"a": [1, "x\xffy"]}', "not UTF-8 (byte 12)"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"1e999", "wrong shape"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_decode_json_rejects_invalid_json(raw, message):
    with pytest.raises(MalformedBody) as info:
        decode_json(raw, ANY)

    assert message in info.value.message


def test_decode_json_reports_where_the_shape_is_wrong():
    raw = b'[1, "2"]'
    with pytest.raises(msgspec.ValidationError) as expected:
        NUMBERS.decode(raw)
    with pytest.raises(MalformedBody) as info:
        decode_json(raw, NUMBERS)

    assert f"The JSON body has the wrong shape: {expected.value}" == info.value.message


def test_decode_json_of_a_raw_member():
    raw = msgspec.json.decode(b'{"a": [1, 2]}', type=dict[str, msgspec.Raw])["a"]

    assert [1, 2] == decode_json(raw, NUMBERS)


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        (b'{"a":1,"a":2}', 1),
        (b'{"a":{"b":1,"b":2}}', 2),
        (b'[{"a":1},{"a":1,"\\u0061":2}]', 2),
        (b'{"a":"::","a":2}', 1),
    ],
)
def test_duplicate_names_are_rejected(raw, members):
    """However they are escaped, and in nested objects."""
    with pytest.raises(MalformedBody, match="twice"):
        reject_duplicate_names(raw, members)


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        (b'{"a":1,"b":2}', 2),
        (b'{"a":"x:y"}', 1),
        (b'[{"a":1},{"a":2}]', 2),
        (b'{"a":{"a":1}}', 1),
        (b'{"a":' + b"9" * 5000 + b',"b":":"}', 2),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_distinct_names_are_accepted(raw, members):
    """With colons in texts, nested objects and very large numbers."""

    assert reject_duplicate_names(raw, members) is None


def test_duplicate_names_check_rejects_nesting_too_deep_for_python():
    with pytest.raises(MalformedBody, match="nested too deeply"):
        reject_duplicate_names(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 0)


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": value}], ids=["array", "object"])
def test_nesting_is_limited(wrap):
    depth = MAX_DEPTH - (wrap([]) != [])

    assert reject_deep_nesting(wrap(nest_arrays(depth))) is None
    with pytest.raises(MalformedBody, match="nested too deeply"):
        reject_deep_nesting(wrap(nest_arrays(depth + 1)))


@pytest.mark.parametrize("value", [None, 1, "text", True, [], {}])
def test_values_without_nesting_have_depth_one(value):
    assert reject_deep_nesting(value, depth=1) is None
