"""Marks of tests and their parameters."""

import hypothesis
import pytest


def slow(*values):
    """Return *values* as parameters that `make quick` leaves out. A tuple has the values of several parameters."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
        for value in values
    ]


def examples(factor):
    """Return a decorator that multiplies the number of hypothesis examples, 100 or in `make quick` 20."""
    return hypothesis.settings(max_examples=round(hypothesis.settings.default.max_examples * factor))
