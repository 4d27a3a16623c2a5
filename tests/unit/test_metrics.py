"""The text format of Prometheus, read by its own client."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from modelgate.metrics import Family, Histogram, exposition
from scraping import samples


def histogram(*values, bounds=(0.1, 1, 5)):
    told = Histogram(bounds)
    for value in values:
        told.counts[next((at for at, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
        told.sum += value
    return told


def test_counters_and_gauges():
    """With labels and without, each with its help and its type."""
    text = exposition(
        [
            Family("a_total", "counter", "Counts.", ("x", "y"), {("1", "2"): 3, ("1", ""): 4}),
            Family("b", "gauge", "Stands.", (), {(): 2.5}),
        ]
    )
    families = list(text_string_to_metric_families(text))

    assert [("a", "Counts.", "counter"), ("b", "Stands.", "gauge")] == [
        (family.name, family.documentation, family.type) for family in families
    ]
    assert {
        ("a_total", ("x", "1"), ("y", "2")): 3,
        ("a_total", ("x", "1"), ("y", "")): 4,
        ("b",): 2.5,
    } == samples(text)


def test_histograms_add_up():
    """Each bucket counts all values up to its bound, and the last one all there are."""
    text = exposition([Family("h", "histogram", "Took.", ("d",), {("m",): histogram(0.1, 0.5, 7)})])

    assert {
        ("h_bucket", ("d", "m"), ("le", "0.1")): 1,
        ("h_bucket", ("d", "m"), ("le", "1")): 2,
        ("h_bucket", ("d", "m"), ("le", "5")): 2,
        ("h_bucket", ("d", "m"), ("le", "+Inf")): 3,
        ("h_sum", ("d", "m")): 7.6,
        ("h_count", ("d", "m")): 3,
    } == samples(text)


@given(
    st.text(
        st.characters(exclude_categories=["Cs"]).filter(lambda c: c not in "\r\x0b\x0c\x1c\x1d\x1e\x85  ")
    )
)
def test_any_label_value_is_read_back(value):
    """Whatever characters a dialect of somebody's own is named with."""
    text = exposition([Family("a", "gauge", "Told.", ("x",), {(value,): 1})])

    assert {("a", ("x", value)): 1} == samples(text)


def test_copies_are_apart():
    """What is counted later does not change what was taken before."""
    one = histogram(0.5)
    copy = one.copy()
    one.add(histogram(0.5, math.pi))

    assert ([0, 2, 1, 0], [0, 1, 0, 0]) == (one.counts, copy.counts)
    assert (0.5 + 0.5 + math.pi, 0.5) == (one.sum, copy.sum)
