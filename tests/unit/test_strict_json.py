"""JSON, read strictly."""

import msgspec
import pytest

from modelgate.errors import MalformedBody
from modelgate.http.strict_json import MAX_DEPTH, decode_json, refuse_deep_nesting, refuse_duplicate_names

ANY = msgspec.json.Decoder()
NUMBERS = msgspec.json.Decoder(list[int])


def nested(depth):
    """*depth* arrays, one in the other."""
    return [] if depth == 1 else [nested(depth - 1)]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b"NaN", "not valid JSON"),
        (b"[1,]", "not valid JSON"),
        (b"1 2", "not valid JSON"),
        (b"\xef\xbb\xbf[]", "not valid JSON"),
        (b'"\xff"', "not UTF-8 (byte"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"1e999", "range"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_json_is_refused_with_the_reason(raw, told):
    """Any bytes that are no JSON are a MalformedBody that says why."""
    with pytest.raises(MalformedBody) as info:
        decode_json(raw, ANY)

    assert told in info.value.message


def test_json_of_another_shape_is_refused_with_the_place():
    """The message says where the shape differs."""
    with pytest.raises(MalformedBody, match=r"wrong shape.*\$\[1\]"):
        decode_json(b'[1, "2"]', NUMBERS)


def test_a_part_of_a_body_is_decoded_too():
    """A raw member decodes as a whole body does."""
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
def test_a_name_that_stands_twice_is_refused(raw, members):
    """However it is spelled and wherever it stands."""
    with pytest.raises(MalformedBody, match="twice"):
        refuse_duplicate_names(raw, members)


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
def test_distinct_names_pass(raw, members):
    """Colons in texts, nested objects and enormous numbers are no fault."""

    assert refuse_duplicate_names(raw, members) is None


def test_nesting_too_deep_for_python_is_refused():
    """A nested value that the second reader cannot hold is refused, not an error of the interpreter."""
    with pytest.raises(MalformedBody, match="nested too deeply"):
        refuse_duplicate_names(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 0)


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": value}], ids=["array", "object"])
def test_values_nest_up_to_the_limit(wrap):
    """MAX_DEPTH levels pass, one more does not."""
    within = MAX_DEPTH - (wrap([]) != [])

    assert refuse_deep_nesting(wrap(nested(within))) is None
    with pytest.raises(MalformedBody, match="nested too deeply"):
        refuse_deep_nesting(wrap(nested(within + 1)))


@pytest.mark.parametrize("value", [None, 1, "text", True, [], {}])
def test_values_that_do_not_nest_pass_at_depth_one(value):
    """A plain value nests nowhere."""

    assert refuse_deep_nesting(value, depth=1) is None
