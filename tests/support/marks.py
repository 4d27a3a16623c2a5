"""Marks for parameters of tests."""

import pytest


def slow(*values):
    """Return *values* as parameters that `make quick` leaves out."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
