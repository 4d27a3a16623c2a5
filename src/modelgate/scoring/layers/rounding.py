"""Scoring layer that rounds predicted numbers as Python's `round` does."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ...errors import ConfigurationError
from ...flow import Flow, Handler
from ...inference import Output, Prediction
from ..many_rows import run_if_many
from ..query import Query

__all__ = ["Decimals", "Round", "round_half_even"]

Decimals: TypeAlias = int | Literal["service"] | Mapping[str, int | None] | None

_SMALL_ARRAY = 32


class Round:
    """Scoring layer that rounds predicted numbers. It does not change labels, integers or probabilities.

    Args:
        decimals: Number of decimals from 0 to 15; None for no rounding; ``"service"`` for the number of
            decimals of the service that defined the wire format of the request. If outputs differ, pass a
            mapping of output names to numbers or None; other outputs are then rounded as with ``"service"``.
            The default of 2 comes from the section "Success Response" of the ML Clever Prediction API.

    Raises:
        ConfigurationError: *decimals* has another value.
    """

    scores = True

    def __init__(self, decimals: Decimals = 2) -> None:
        self._by_output: Mapping[str, int | None] = decimals if isinstance(decimals, Mapping) else {}
        self._decimals = "service" if isinstance(decimals, Mapping) else decimals
        counts = [*self._by_output.values(), None if self._decimals == "service" else self._decimals]
        if not all(count is None or (type(count) is int and 0 <= count <= 15) for count in counts):
            raise ConfigurationError(
                'decimals must be a whole number from 0 to 15, None, "service", or a mapping of output names to'
                f" whole numbers or None (got {decimals!r})"
            )

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        prediction = yield from call_next(query)
        changes = self._by_output or self._decimals_of(query) is not None
        if changes and any(output.classes is None for output in prediction.outputs):
            yield from run_if_many(len(prediction), self.round, query, prediction)
        return prediction

    def round(self, query: Query, prediction: Prediction) -> None:
        """Round the numbers in *prediction*, the prediction for *query*."""
        for output in prediction.outputs:
            if output.classes is None:
                _round_output(output, self._by_output.get(output.name, self._decimals_of(query)))

    def _decimals_of(self, query: Query) -> int | None:
        return query.decimals if self._decimals == "service" else self._decimals


def _round_output(output: Output, decimals: int | None) -> None:
    if decimals is None:
        return
    output.values = _round(output.values, decimals)
    if output.model_values is not None:
        output.model_values = _round(output.model_values, decimals)
    if output.adjusted is not None:
        output.adjusted = _round(output.adjusted, decimals)
    if output.intervals is not None:
        output.intervals = {
            level: _round_outwards(limits, decimals) for level, limits in output.intervals.items()
        }


def _round(values: npt.NDArray[Any], decimals: int) -> npt.NDArray[Any]:
    if values.dtype.kind == "f":
        return round_half_even(values.astype(np.float64), decimals)
    if values.dtype.kind == "O":
        rounded = [round(value, decimals) + 0.0 if isinstance(value, float) else value for value in values]
        return np.array(rounded, dtype=object)
    return values


def _round_outwards(limits: npt.NDArray[np.float64], decimals: int) -> npt.NDArray[np.float64]:
    """Round lower limits down and upper limits up, because a narrower interval might not reach its level."""
    rounded = round_half_even(limits.ravel(), decimals).reshape(limits.shape)
    step = np.array([-1, 1]) * 10.0**-decimals
    cut_off = np.column_stack([rounded[:, 0] > limits[:, 0], rounded[:, 1] < limits[:, 1]])
    return round_half_even((rounded + step * cut_off).ravel(), decimals).reshape(limits.shape)


def round_half_even(values: npt.NDArray[np.float64], decimals: int) -> npt.NDArray[np.float64]:
    """Round each of *values* exactly as ``round(value, decimals) + 0.0`` does, but faster.

    `numpy.round` may return another result, because it multiplies first. For example, the float 2.675 is
    slightly less than the number 2.675, but `numpy.round` returns 2.68. For 1e307 it returns infinity. In
    these cases Python's `round` is used.
    """
    if len(values) <= _SMALL_ARRAY:
        return np.array([round(value, decimals) + 0.0 for value in values.tolist()])
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.abs(values) * 10.0**decimals
        # The rounding error of a product is at most half a unit in the last place, so below 1/8 up to 2**50.
        doubtful = ~(scaled < 2.0**50) | (np.abs(scaled - np.floor(scaled) - 0.5) <= scaled * 2.0**-51)
        rounded = np.round(values, decimals) + 0.0
    for index in np.flatnonzero(doubtful).tolist():
        rounded[index] = round(values[index].item(), decimals) + 0.0
    return rounded
