"""Rounding of arrays, as Python's `round` does."""

import struct

import numpy as np
import pytest

from modelgate.errors import ConfigurationError
from modelgate.flow import drive
from modelgate.inference import Output, Prediction
from modelgate.scoring import Query, Round, round_half_even
from modelgate.testing import StubHandler

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
def test_round_half_even_equals_python(decimals, times):
    """Bit for bit, in short and long arrays; negative zero becomes zero."""
    values = AWKWARD * times
    expected = bits(round(value, decimals) + 0.0 for value in values)

    assert expected == bits(round_half_even(np.array(values), decimals).tolist())


def round_outputs(decimals, *outputs):
    return drive(Round(decimals)(Query(None), StubHandler(Prediction(list(outputs))))).outputs


def test_round_rounds_halves_to_even():
    """2.675 is stored as slightly less, 0.125 is exactly half."""
    [output] = round_outputs(2, Output("a", np.array([2.675, 0.125, 0.375])))

    assert [2.67, 0.12, 0.38] == output.values.tolist()


def test_round_defaults_to_two_decimals():
    """The ML Clever Prediction API rounds to two."""
    prediction = drive(Round()(Query(None), StubHandler(Prediction([Output("a", np.array([1.23456]))]))))

    assert [1.23] == prediction.values.tolist()


def test_round_none_leaves_numbers_unchanged():
    [output] = round_outputs(None, Output("a", np.array([0.123456789])))

    assert [0.123456789] == output.values.tolist()


def test_round_leaves_labels_and_probabilities_unchanged():
    probabilities = np.array([[0.123456, 0.876544]])
    [output] = round_outputs(2, Output("a", np.array([1.005]), [1.005, 2.0], probabilities))

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
def test_round_rounds_only_floats(values, expected):
    """Integers, texts and booleans keep their values and types."""
    [output] = round_outputs(2, Output("a", values))

    assert expected == output.values.tolist()
    assert [type(value) for value in expected] == [type(value) for value in output.values.tolist()]


def test_round_rounds_every_output():
    outputs = round_outputs(1, Output("a", np.array([0.25])), Output("b", np.array([0.75])))

    assert [[0.2], [0.8]] == [output.values.tolist() for output in outputs]


@pytest.mark.parametrize("decimals", [-1, 16, 1.0, "2", True], ids=repr)
def test_round_rejects_invalid_decimals(decimals):
    with pytest.raises(ConfigurationError, match="decimals must be"):
        Round(decimals)
