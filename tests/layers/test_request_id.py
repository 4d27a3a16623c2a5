"""Request ids from callers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import RequestId, drive
from modelgate.http import Response
from modelgate.keys import generate
from modelgate.testing import StubHandler, request
from support.keys import KEY


def assign_id(sent):
    """Return the request id if the caller sent *sent*."""
    sent = request(headers={"x-request-id": sent})
    response = drive(RequestId()(sent, StubHandler(Response(200))))

    assert sent.id == dict(response.headers)["x-request-id"]
    return sent.id


@pytest.mark.parametrize(
    "sent",
    [
        "r1",
        "req_789012",
        "abc-1.2_3",
        "x" * 15,
        "7d3c1f0a9b8e4d5c",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "F47AC10B-58CC-4372-A567-0E02B2C3D479",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "17000000000000000001",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "e" * 64,
    ],
)
def test_request_id_accepts_common_forms(sent):
    """Short ids, groups of hexadecimal digits, numbers and ULIDs."""

    assert sent == assign_id(sent)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "a b",
        "a\x1b[31m",
        "e" * 65,
        "-" * 20,
        "f47ac10b-58cc-4372-a567-",
        "01ARZ3NDEKTSV4RRFFQ69G5FAU",
        "x" * 16,
        KEY,
        "acme_live_of_our_own",
    ],
)
def test_request_id_replaces_other_forms(sent):
    """Text that breaks a log line, or may be a key."""
    made = assign_id(sent)

    assert made != sent
    assert 32 == len(made)


@given(
    st.builds(generate),
    st.sampled_from([str, str.upper, str.lower]),
    st.sampled_from(["", "Bearer-", "x", "1-"]),
    st.integers(16, 41),
)
def test_request_id_replaces_generated_keys(key, case, before, length):
    """Also in another case, with a prefix, or truncated."""
    sent = f"{before}{case(key)[:length]}"

    assert sent != assign_id(sent)
