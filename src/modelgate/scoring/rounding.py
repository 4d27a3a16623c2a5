"""Numbers rounded as Python's `round` does."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from ..flow import Flow, Handler
from .query import Prediction, Query

__all__ = ["Round", "round_half_even"]

_FEW = 32


class Round:
    """Round predicted numbers; labels, whole numbers and probabilities stay as they are.

    Args:
        decimals: how many: 2 by default, as the ML Clever Prediction API, "Success Response", has
            it. None leaves every number as it is; ``"service"`` does as the service whose wire
            format is spoken.

    Raises:
        ConfigurationError: *decimals* is none of these, or not a whole number from 0 to 15.
    """

    scores = True

    def __init__(self, decimals: int | Literal["service"] | None = 2) -> None:
        whole = type(decimals) is int and 0 <= decimals <= 15
        if decimals not in (None, "service") and not whole:
            raise ConfigurationError(
                f'decimals={decimals!r}: accepts a whole number from 0 to 15, None or "service"'
            )
        self._decimals = decimals

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        prediction = yield from call_next(query)
        decimals = query.decimals if self._decimals == "service" else self._decimals
        if decimals is not None:
            for output in prediction.outputs:
                if output.classes is None:
                    output.values = _rounded(output.values, decimals)
        return prediction


def _rounded(values: npt.NDArray[Any], decimals: int) -> npt.NDArray[Any]:
    if values.dtype.kind == "f":
        return round_half_even(values.astype(np.float64), decimals)
    if values.dtype.kind == "O":
        rounded = [round(value, decimals) + 0.0 if isinstance(value, float) else value for value in values]
        return np.array(rounded, dtype=object)
    return values


def round_half_even(values: npt.NDArray[np.float64], decimals: int) -> npt.NDArray[np.float64]:
    """*values* rounded, each bit for bit what ``round(value, decimals) + 0.0`` gives.

    numpy's own rounding differs: it scales first, so that 2.675 (which is less than that) becomes
    2.68 and 1e307 becomes infinite. Only where scaling could matter is the value rounded in Python.
    """
    if len(values) <= _FEW:
        return np.array([round(value, decimals) + 0.0 for value in values.tolist()])
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.abs(values) * 10.0**decimals
        # A product is off by half a unit in its last place at most; below 2**50 that is under 1/8.
        doubtful = ~(scaled < 2.0**50) | (np.abs(scaled - np.floor(scaled) - 0.5) <= scaled * 2.0**-51)
        rounded = np.round(values, decimals) + 0.0
    for at in np.flatnonzero(doubtful).tolist():
        rounded[at] = round(values[at].item(), decimals) + 0.0
    return rounded
