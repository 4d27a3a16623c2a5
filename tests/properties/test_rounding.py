"""Rounding compared with Python's own."""

import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate.scoring import round_half_even

finite = st.floats(allow_nan=False, allow_infinity=False)
halves = st.builds(
    lambda number, decimals: (number + 0.5) / 10**decimals, st.integers(-(10**6), 10**6), st.integers(0, 15)
)
near = st.builds(
    lambda value, up: float(np.nextafter(value, np.inf if up else -np.inf)), halves, st.booleans()
)
large = st.builds(
    lambda number, half: number + half,
    st.integers(2**49, 2**54).map(float),
    st.sampled_from([0.0, 0.5, 0.25]),
)


@settings(max_examples=500)
@given(
    st.lists(st.one_of(finite, halves, near, large), min_size=1, max_size=200),
    st.integers(0, 15),
    st.booleans(),
)
def test_round_half_even_equals_python(values, decimals, repeated):
    """For finite numbers, exact halves and their neighbours, in short and long arrays."""
    values = (values * 40)[: max(len(values), 40)] if repeated else values
    expected = [struct.pack("<d", round(value, decimals) + 0.0) for value in values]
    rounded = round_half_even(np.array(values), decimals)

    assert expected == [struct.pack("<d", value) for value in rounded.tolist()]


@settings(max_examples=100)
@given(st.lists(st.one_of(finite, halves), min_size=1, max_size=200), st.integers(0, 15))
def test_round_half_even_is_idempotent(values, decimals):
    """Its input is not changed either."""
    given_values = np.array(values)
    once = round_half_even(given_values, decimals)

    assert once.tobytes() == round_half_even(once, decimals).tobytes()
    assert np.array(values).tobytes() == given_values.tobytes()
