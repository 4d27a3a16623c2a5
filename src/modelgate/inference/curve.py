"""Response curves: predictions for a grid of values of one column."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidInput
from ..schema import Column
from .prediction import Average, Output

__all__ = ["default_grid", "mean_outputs"]


def default_grid(column: Column, statistics: Mapping[str, Any], points: int) -> list[Any]:
    """Return values of *column* for the points of a curve.

    These are its levels, False and True for a boolean, or evenly spaced numbers in the usual range of the
    training data.

    The usual range is from the 10th to the 90th percentile, or from the minimum to the maximum if these
    percentiles are equal or unknown.

    Args:
        column: Column that varies.
        statistics: Training statistics of the column; empty if there are none.
        points: Number of points of the grid. An integer column with a narrow range gets fewer.

    Raises:
        InvalidInput: The column has no levels, and its range is not known.
    """
    if column.levels is not None:
        return list(column.levels)
    if column.kind == "boolean":
        return [False, True]
    low, high = _usual_range(statistics) or column.observed_range or (None, None)
    low = max((bound for bound in (low, column.minimum) if bound is not None), default=None)
    high = min((bound for bound in (high, column.maximum) if bound is not None), default=None)
    if column.kind not in ("number", "integer") or low is None or high is None:
        raise InvalidInput(f"The range of {column.name} is not known: send the values of the column in grid")
    step = (high - low) / max(points - 1, 1)
    numbers = [min(low + step * index, high) for index in range(points)]
    return list(dict.fromkeys(map(round, numbers))) if column.kind == "integer" else numbers


def _usual_range(statistics: Mapping[str, Any]) -> tuple[float, float] | None:
    deciles = statistics.get("deciles")
    if not deciles:
        return None
    return (deciles[1], deciles[-2]) if deciles[1] < deciles[-2] else (deciles[0], deciles[-1])


def mean_outputs(outputs: Sequence[Output], points: int) -> list[Average]:
    """Return the mean prediction at each point. The rows of *outputs* must be in the order of the points.

    Raises:
        InvalidInput: An output has neither numbers nor probabilities.
    """
    return [_mean_output(output, points) for output in outputs]


def _mean_output(output: Output, points: int) -> Average:
    if output.probabilities is not None:
        by_point = output.probabilities.reshape(points, -1, output.probabilities.shape[1])
        return Average(output.name, None, output.classes, by_point.mean(axis=1))
    if output.classes is not None or output.values.dtype.kind not in "iuf":
        raise InvalidInput(
            f"The output {output.name} has neither numbers nor probabilities to average: leave out the option"
            " average"
        )
    return Average(output.name, output.values.reshape(points, -1).mean(axis=1), None, None)
