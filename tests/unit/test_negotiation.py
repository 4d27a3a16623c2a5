"""Content negotiation and the Prefer field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.http.negotiation import best_media_type, parse_prefer

JSON, CSV = OFFERED = ("application/json", "text/csv")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV", CSV),
        ("text/csv; header=present", CSV),
        ("text/*", CSV),
        ("text/csv, application/json", JSON),
        ("application/json;q=0.5, text/csv", CSV),
        ("text/csv;q=0.5, application/json", JSON),
        ("text/csv ; q=1.0 , */*;q=0.1", CSV),
        ("*/*, text/csv;q=0", JSON),
        ("*/*, application/json;q=0", CSV),
        ("text/*;q=0.9, text/csv;q=0.1, application/json;q=0.5", JSON),
        ("text/csv;q=nonsense, */*;q=0.1", JSON),
        ("text/csv;q=٣", JSON),
        ("text/html", JSON),
        ("image/png," * 63 + "text/csv", CSV),
        ("image/png," * 64 + "text/csv", JSON),
    ],
)
def test_best_media_type(accept, expected):
    """RFC 9110, section 12.5.1. The first one is the default."""

    assert expected == best_media_type(accept, OFFERED)


@given(st.text(st.sampled_from("atextcsvplijon/*;,q=.019 \t"), max_size=60))
def test_best_media_type_of_any_text_is_an_offered_one(accept):
    assert best_media_type(accept, OFFERED) in OFFERED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wait=5", "5"),
        ("a, Wait = 5 ; x=1, wait=6", "5"),
        ('wait="5"', "5"),
        ("wait", ""),
        ("await=5", None),
        ("", None),
        (",;=,", None),
        ('foo="a,wait=1"', None),
        ('foo="a,wait=1", wait=2', "2"),
        (r'foo="\",wait=1", wait=2', "2"),
        ('foo="a, wait=1', None),
        ('foo="a" , "", wait=2', "2"),
    ],
)
def test_parse_prefer(field, value):
    """The first one of a name counts, in any case. Parameters are ignored."""

    assert value == parse_prefer(field, "wait")
