"""Estimates of how long a model takes."""

from hypothesis import example, given
from hypothesis import strategies as st

from modelgate.inference.model_metrics import LIGHT, LIGHT_ROWS, LatencyEstimator

SIZES = st.integers(1, LIGHT_ROWS)


@given(
    per_call=st.floats(0, LIGHT * 2),
    per_row=st.floats(0, LIGHT * 2),
    seen=st.lists(SIZES, min_size=1, max_size=60),
    rows=SIZES,
)
@example(per_call=0.0019, per_row=2e-6, seen=[1000, *[1] * 9], rows=400)
def test_latency_estimator_never_underestimates_light_calls(per_call, per_row, seen, rows):
    """For any recorded calls of a model with a constant time per call and per row."""
    estimator = LatencyEstimator()
    for size in seen:
        estimator.record(per_call + per_row * size, size)

    assert not estimator.is_light(rows) or per_call + per_row * rows <= LIGHT * (1 + 1e-9)


def test_latency_estimator_uses_the_largest_recent_call():
    """A larger call gives a better estimate per row, until it has decayed."""
    estimator = LatencyEstimator()
    estimator.record(LIGHT / 2, 1)
    one = estimator.is_light(1), estimator.is_light(3)
    estimator.record(LIGHT / 2, 64)
    many = estimator.is_light(100)
    for _ in range(500):
        estimator.record(LIGHT / 2, 1)

    assert ((True, False), True, False) == (one, many, estimator.is_light(100))
