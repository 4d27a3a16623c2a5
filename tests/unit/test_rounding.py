"""Rounding: Python's own, in arrays."""

import struct

import numpy as np
import pytest

from modelgate.errors import ConfigurationError
from modelgate.flow import drive
from modelgate.scoring import Output, Prediction, Query, Round, round_half_even
from modelgate.testing import Inner

AWKWARD = [
    0.0,
    -0.0,
    0.5,
    1.5,
    -0.5,
    2.675,
    1.005,
    0.125,
    -1e-9,
    1e16,
    2.0**52 + 0.5,
    1e22,
    1e307,
    -1.7976931348623157e308,
    5e-324,
    0.1 + 0.2,
    1234567.885,
]


def bits(values):
    return [struct.pack("<d", value) for value in values]


@pytest.mark.parametrize("decimals", range(16))
@pytest.mark.parametrize("times", [1, 10], ids=["short", "long"])
def test_arrays_are_rounded_as_python_rounds(decimals, times):
    """Bit for bit, in short arrays and in long ones; negative zero becomes zero."""
    values = AWKWARD * times
    expected = bits(round(value, decimals) + 0.0 for value in values)

    assert expected == bits(round_half_even(np.array(values), decimals).tolist())


def rounded(decimals, *outputs):
    return drive(Round(decimals)(Query(None), Inner(Prediction(list(outputs))))).outputs


def test_numbers_are_rounded_and_halves_go_to_even():
    """2.675 is less than that, 0.125 is exactly half."""
    [output] = rounded(2, Output("a", np.array([2.675, 0.125, 0.375])))

    assert [2.67, 0.12, 0.38] == output.values.tolist()


def test_two_decimals_are_the_default():
    """As the ML Clever Prediction API has it."""
    prediction = drive(Round()(Query(None), Inner(Prediction([Output("a", np.array([1.23456]))]))))

    assert [1.23] == prediction.values.tolist()


def test_no_decimals_leave_every_number():
    """None is no rounding."""
    [output] = rounded(None, Output("a", np.array([0.123456789])))

    assert [0.123456789] == output.values.tolist()


def test_labels_and_probabilities_stay():
    """A classifier's output is what its model says."""
    probabilities = np.array([[0.123456, 0.876544]])
    [output] = rounded(2, Output("a", np.array([1.005]), [1.005, 2.0], probabilities))

    assert ([1.005], probabilities.tolist()) == (output.values.tolist(), output.probabilities.tolist())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([12, 13]), [12, 13]),
        (np.array([True, False]), [True, False]),
        (np.array(["0.555", "x"]), ["0.555", "x"]),
        (np.array([0.555, None, "x", 3, True], dtype=object), [0.56, None, "x", 3, True]),
        (np.array([0.5, 0.3], dtype=np.float32), [0.5, 0.3]),
        (np.array([]), []),
        (np.array([-0.001]), [0.0]),
    ],
    ids=repr,
)
def test_only_floats_are_rounded(values, expected):
    """Whole numbers, texts and booleans stay, and keep their types."""
    [output] = rounded(2, Output("a", values))

    assert expected == output.values.tolist()
    assert [type(value) for value in expected] == [type(value) for value in output.values.tolist()]


def test_every_output_is_rounded():
    """Each number of each target."""
    outputs = rounded(1, Output("a", np.array([0.25])), Output("b", np.array([0.75])))

    assert [[0.2], [0.8]] == [output.values.tolist() for output in outputs]


@pytest.mark.parametrize("decimals", [-1, 16, 1.0, "2", True], ids=repr)
def test_decimals_that_cannot_work_are_refused(decimals):
    """A whole number from 0 to 15, or None."""
    with pytest.raises(ConfigurationError, match="decimals="):
        Round(decimals)
