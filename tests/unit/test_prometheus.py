"""Text format of Prometheus, parsed by its own client."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from modelgate.prometheus import Histogram, MetricFamily, render_metrics
from support.prometheus import parse_samples


def make_histogram(*values, bounds=(0.1, 1, 5)):
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    return histogram


def test_render_metrics_of_counters_and_gauges():
    text = render_metrics(
        [
            MetricFamily("a_total", "counter", "Counts.", ("x", "y"), {("1", "2"): 3, ("1", ""): 4}),
            MetricFamily("b", "gauge", "Gauges.", (), {(): 2.5}),
        ]
    )
    families = list(text_string_to_metric_families(text))

    assert [("a", "Counts.", "counter"), ("b", "Gauges.", "gauge")] == [
        (family.name, family.documentation, family.type) for family in families
    ]
    assert {
        ("a_total", ("x", "1"), ("y", "2")): 3,
        ("a_total", ("x", "1"), ("y", "")): 4,
        ("b",): 2.5,
    } == parse_samples(text)


def test_render_metrics_of_histograms():
    """Each bucket counts all values up to its bound."""
    text = render_metrics(
        [MetricFamily("h", "histogram", "Durations.", ("d",), {("m",): make_histogram(0.1, 0.5, 7)})]
    )

    assert {
        ("h_bucket", ("d", "m"), ("le", "0.1")): 1,
        ("h_bucket", ("d", "m"), ("le", "1")): 2,
        ("h_bucket", ("d", "m"), ("le", "5")): 2,
        ("h_bucket", ("d", "m"), ("le", "+Inf")): 3,
        ("h_sum", ("d", "m")): 7.6,
        ("h_count", ("d", "m")): 3,
    } == parse_samples(text)


@given(
    st.text(
        st.characters(exclude_categories=["Cs"]).filter(lambda c: c not in "\r\x0b\x0c\x1c\x1d\x1e\x85  ")
    )
)
def test_label_values_are_escaped(value):
    """A custom dialect may have any name."""
    text = render_metrics([MetricFamily("a", "gauge", "Labels.", ("x",), {(value,): 1})])

    assert {("a", ("x", value)): 1} == parse_samples(text)


def test_histogram_adds_another():
    one = make_histogram(0.5)
    one.add(make_histogram(0.5, math.pi))

    assert ([0, 2, 1, 0], 0.5 + 0.5 + math.pi) == (one.counts, one.sum)
