"""Scoring layer for response curves: individual conditional expectation, and partial dependence."""

from collections.abc import Sequence
from typing import Any

from ...errors import InvalidInput
from ...flow import Flow, Handler, run_long
from ...inference import Prediction
from ...inference.curve import default_grid, mean_outputs
from ...inference.prediction import Curve
from ...inference.predictor import Predictor
from ...schema import Column, Table
from ...spelling import closest_match
from ..query import Query

__all__ = ["DEFAULT_POINTS", "MAX_POINTS", "AddCurve"]

MAX_POINTS = 200
DEFAULT_POINTS = 50
"""Number of points of the default grid, unless the caller sets another."""


class AddCurve:
    """Scoring layer that predicts the row of a query with one column set to each value of a grid.

    The other columns of the row do not change: this is individual conditional expectation (Goldstein et al.,
    2015). Partial dependence (Friedman, 2001) is the mean of such predictions for the packaged rows, which
    are training rows stored with the model. All rows are predicted in one call of the model.

    Args:
        column: Name of the column that varies.
        grid: Values of the column; None for `default_grid`.
        points: Number of points of the default grid; None for `DEFAULT_POINTS`.
        average: Whether to add the mean predictions for the packaged rows.

    Raises:
        InvalidInput: Both *grid* and *points* are set, or there are not 1 to 200 points.
    """

    def __init__(self, column: str, grid: Sequence[Any] | None, points: int | None, *, average: bool) -> None:
        if grid is not None and points is not None:
            raise InvalidInput("points must be left out if the request has a grid")
        self._points = len(grid) if grid is not None else DEFAULT_POINTS if points is None else points
        if not 1 <= self._points <= MAX_POINTS:
            raise InvalidInput(f"A response curve must have 1 to {MAX_POINTS} points (got {self._points})")
        self._column = column
        self._grid = grid
        self._average = average

    def __call__(self, query: Query, call_next: Handler[Query, Prediction]) -> Flow[Prediction]:
        """Set `Prediction.curve`.

        The prediction has a row for each point of the grid. If the query has no row, the prediction is empty.

        Raises:
            InvalidInput: The model is a forecaster. The query has several rows, or no row although *average*
                is False. The column is unknown, or is an image or a tensor. *grid* is None, but the default
                grid is unknown or would show the hidden schema. There are no packaged rows, or no numbers, to
                average.
            InvalidValues: A value of the grid breaks a rule of the column.
        """
        predictor, table = query.predictor, query.table
        assert predictor is not None and table is not None
        if predictor.forecaster is not None:
            raise InvalidInput("This deployment forecasts time series, which have no response curves")
        if len(table) > 1 or not (len(table) or self._average):
            raise InvalidInput(
                f"row must be a single row (got {len(table)} rows): it can be left out only if average is"
                " true"
            )
        column = _find_column(predictor, self._column)
        values = predictor.schema.read_column(column, self._find_grid(predictor, column))
        tables = [table.cross(values)]
        if self._average:
            # This may be tens of thousands of rows.
            tables.append((yield from run_long(_cross_background, predictor, table, values)))
        points, rows = len(values), sum(map(len, tables))
        for check in query.on_rows if rows > len(table) else ():
            yield from check(rows - len(table))
        query.table = Table.concat(tables)
        query.table.warnings = [*table.warnings, *values.warnings]
        prediction = yield from call_next(query)
        own, others = prediction.split([len(tables[0]), rows - len(tables[0])])
        average = mean_outputs(others.outputs, points) if self._average else None
        own.curve = Curve(column.name, [row[column.name] for row in values.rows()], average)
        return own

    def _find_grid(self, predictor: Predictor, column: Column) -> Sequence[Any]:
        if self._grid is not None:
            return self._grid
        if not predictor.schema.options.show_schema:
            raise InvalidInput(
                "grid must be sent as a list of values, because this deployment does not show its schema"
            )
        statistics = {} if predictor.training is None else predictor.training.statistics
        return default_grid(column, statistics.get(column.name, {}), self._points)


def _cross_background(predictor: Predictor, table: Table, values: Table) -> Table:
    """Return the packaged rows, repeated once for each row of *values*.

    Raises:
        InvalidInput: There are no packaged rows, or their columns are not those of *table*.
    """
    background = None if predictor.training is None else predictor.training.background
    if background is None or list(background) != list(table):
        exposed = " with an exposure" if predictor.exposure_column is not None else ""
        raise InvalidInput(f"This deployment has no packaged rows{exposed}: leave out average")
    return background.cross(values)


def _find_column(predictor: Predictor, name: str) -> Column:
    for column in predictor.schema:
        if column.name == name:
            if column.is_array:
                raise InvalidInput(f"column must not be an image or a tensor (got {name!r})")
            return column
    match = closest_match(name, predictor.schema.names)
    hint = f": did you mean {match!r}?" if match and predictor.schema.options.show_schema else ""
    raise InvalidInput(f"column must be a column of the model (got {name!r:.80}){hint}")
