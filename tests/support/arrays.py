"""Assertions on arrays."""

import numpy as np


def assert_equal_but_for_blas(expected, actual):
    """Assert equality to 1e-12: BLAS adds up in an order that depends on processor, memory layout and batch."""
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
