"""Which media type a caller would rather have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.http.negotiation import preference, preferred

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
def test_preferred(accept, expected):
    """RFC 9110, section 12.5.1; the first offered where nothing is said or accepted."""

    assert expected == preferred(accept, OFFERED)


@given(st.text(st.sampled_from("atextcsvplijon/*;,q=.019 \t"), max_size=60))
def test_any_text_gives_one_of_the_offered(accept):
    """No header field makes it fail."""

    assert preferred(accept, OFFERED) in OFFERED


@pytest.mark.parametrize(
    ("told", "value"),
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
def test_preferences(told, value):
    """The first of a name counts, in whatever case; parameters are passed over."""

    assert value == preference(told, "wait")
