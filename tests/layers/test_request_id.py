"""Which request ids are taken over, and that no key is one of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEY
from modelgate import RequestId, drive
from modelgate.http import Response
from modelgate.keys import generate
from modelgate.testing import Inner, request


def given_id(told):
    """The id of a request whose caller sent *told*."""
    sent = request(headers={"x-request-id": told})
    response = drive(RequestId()(sent, Inner(Response(200))))

    assert sent.id == dict(response.headers)["x-request-id"]
    return sent.id


@pytest.mark.parametrize(
    "told",
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
def test_an_id_is_taken_over(told):
    """Short ones, hexadecimal digits in groups, numbers, ULIDs."""

    assert told == given_id(told)


@pytest.mark.parametrize(
    "told",
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
def test_another_is_replaced(told):
    """What breaks a line, and what may be a key of any form."""
    made = given_id(told)

    assert made != told
    assert 32 == len(made)


@given(
    st.builds(generate),
    st.sampled_from([str, str.upper, str.lower]),
    st.sampled_from(["", "Bearer-", "x", "1-"]),
    st.integers(16, 41),
)
def test_a_generated_key_is_none(key, case, before, length):
    """Nor is one in another case, with something before it, or with its end cut off."""
    told = f"{before}{case(key)[:length]}"

    assert told != given_id(told)
