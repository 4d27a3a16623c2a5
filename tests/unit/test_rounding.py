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


@pytest.mark.parametrize("decimals", [0, 15])
def test_round_accepts_the_smallest_and_the_largest_number(decimals):
    [output] = round_outputs(decimals, Output("a", np.array([0.1234567890123456])))

    assert [round(0.1234567890123456, decimals)] == output.values.tolist()


def test_round_names_the_accepted_decimals():
    with pytest.raises(ConfigurationError) as info:
        Round(16)

    assert (
        'decimals must be a whole number from 0 to 15, None, "service", or a mapping of output names to whole'
        " numbers or None (got 16)"
    ) == str(info.value)


@pytest.mark.parametrize(
    ("decimals", "service", "expected"),
    [
        ("service", 1, [0.1, 0.1]),
        ("service", None, [0.125, 0.125]),
        ({"a": 2}, 1, [0.12, 0.1]),
        ({"a": None}, 1, [0.125, 0.1]),
        ({"a": 0}, None, [0.0, 0.125]),
    ],
)
def test_round_uses_the_number_of_the_output_or_of_the_service(decimals, service, expected):
    query = Query(None, decimals=service)
    outputs = [Output("a", np.array([0.125])), Output("b", np.array([0.125]))]
    handler = StubHandler(Prediction(outputs))
    drive(Round(decimals)(query, handler))

    assert expected == [output.values.item() for output in outputs]
    assert [query] == handler.requests


def test_round_rounds_what_belongs_to_the_numbers():
    """The values before humility rules and exposure, too; the limits of intervals outwards."""
    output = Output("a", np.array([0.125]))
    output.model_values = np.array([0.375])
    output.adjusted = np.array([0.625])
    output.intervals = {"80": np.array([[0.121, 0.129], [0.25, 0.5]])}
    round_outputs(2, output)

    assert ([0.38], [0.62]) == (output.model_values.tolist(), output.adjusted.tolist())
    assert {"80": [[0.12, 0.13], [0.25, 0.5]]} == {
        level: limits.tolist() for level, limits in output.intervals.items()
    }


def test_round_keeps_objects_as_objects():
    """Negative zero becomes zero."""
    [output] = round_outputs(1, Output("a", np.array([-0.01, 1.25], dtype=object)))

    assert ("O", ["0.0", "1.2"]) == (output.values.dtype.kind, [str(value) for value in output.values])
