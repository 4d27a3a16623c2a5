"""Read forecast requests: check the rows, and divide them into histories and rows to predict."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, InvalidValues
from ..schema import Table
from .forecaster import Forecaster, Future, Window
from .history import Selection, select_point, select_range
from .options import ForecastOptions
from .request import ForecastRequest, ForecastRows
from .series_rows import SeriesRows, describe_dates, describe_rows, join_some
from .timestamps import format_utc

__all__ = ["read_request"]


def read_request(
    table: Table,
    forecaster: Forecaster,
    options: ForecastOptions = ForecastOptions(),  # noqa: B008  immutable
    levels: Sequence[float] = (),
) -> ForecastRequest:
    """Check the rows of a request, and divide them into histories and rows to predict.

    Args:
        table: Rows that match the schema of the forecaster's `TimeSeriesSpec`.
        forecaster: Forecaster, whose attributes determine which values may be missing.
        options: Options of the request.
        levels: Levels of the prediction intervals in percent; empty for the default levels of the forecaster.

    Raises:
        InvalidInput: Several rows have the same date, a date is between two steps, history is missing, a
            series is unknown, a value known in advance is missing, or there is nothing to predict. The
            message names rows and dates.
    """
    _check_options(options)
    levels = _check_levels(forecaster, levels)
    rows = SeriesRows(table, forecaster.spec)
    _check_series(rows, forecaster, options)
    allows_missing = options.relax_history and getattr(forecaster, "allows_missing", False)
    if options.start is not None and options.end is not None:
        start, end = rows.parse("The start date", options.start), rows.parse("The end date", options.end)
        selection = select_range(rows, start, end, allows_missing=allows_missing)
    else:
        point = (
            None
            if options.forecast_point is None
            else rows.parse("The forecast point", options.forecast_point)
        )
        selection = select_point(rows, point, allows_missing=allows_missing)
    return replace(_build_request(rows, selection, forecaster, options), levels=levels)


def _check_options(options: ForecastOptions) -> None:
    if (options.start is None) != (options.end is None):
        raise InvalidInput("The start date and the end date must be sent together")
    if options.start is not None and options.forecast_point is not None:
        raise InvalidInput("A forecast point and a start date exclude each other: send one of them")


def _check_levels(forecaster: Forecaster, levels: Sequence[float]) -> Sequence[float]:
    """Return the levels of the prediction intervals to add. Reject levels that the forecaster lacks."""
    own: Sequence[float] = getattr(forecaster, "levels", ())
    has_level = getattr(forecaster, "has_level", own.__contains__)
    for level in levels:
        if not has_level(level):
            known = (
                f"request {', '.join(f'{level:g}' for level in own)}"
                if own
                else "leave out the option intervals"
            )
            raise InvalidInput(f"This deployment has no prediction intervals of {level:g} %: {known}")
    return levels or own


def _check_series(rows: SeriesRows, forecaster: Forecaster, options: ForecastOptions) -> None:
    known: frozenset[str] | None = getattr(forecaster, "series", None)
    if rows.ids is None or known is None or known.issuperset(rows.names):
        return
    accepts = forecaster.spec.unknown_series == "accept" or options.relax_series
    if not (accepts and getattr(forecaster, "allows_new_series", False)):
        unknown = [name for name in rows.names if name not in known]
        first = describe_rows(np.flatnonzero(rows.codes == rows.names.index(unknown[0])).tolist())
        raise InvalidValues(
            {
                str(rows.spec.series_id): f"must be a series that the model was trained with, not"
                f" {join_some([repr(name[:64]) for name in unknown])} ({first})"
            }
        )


def _build_request(
    rows: SeriesRows, selection: Selection, forecaster: Forecaster, options: ForecastOptions
) -> ForecastRequest:
    row_ids, codes = selection.row_ids, selection.codes[selection.history]
    sent = row_ids >= 0
    columns = {
        name: _known_values(name, np.where(sent, values[row_ids], np.nan), selection, forecaster, options)
        for name, values in rows.columns.items()
    }
    utc, dates = rows.utc[row_ids], [rows.dates[row] for row in row_ids.tolist()]
    if not sent.all():
        samples = dict(zip(rows.codes.tolist(), rows.dates, strict=True))
        for index in np.flatnonzero(~sent).tolist():
            sample, key = samples[int(codes[index])], int(selection.keys[index])
            dates[index], utc[index] = rows.format_like(sample, key)
        row_ids = row_ids.copy()
        row_ids[~sent] = len(rows) + np.arange(np.count_nonzero(~sent))
    points = np.array(rows.format_points(selection.points, selection.codes), dtype=object)[selection.history]
    identity = ForecastRows(
        series=None if rows.ids is None else [rows.ids[code] for code in codes.tolist()],
        points=points.tolist(),
        row_ids=row_ids,
        timestamps=format_utc(utc, unit="us"),
        steps=selection.steps,
        dates=dates,
        sent=len(rows),
    )
    names = [rows.names[code] for code in selection.codes.tolist()]
    window = Window(names, selection.values, selection.points.astype("datetime64[us]"))
    future = Future(selection.history, selection.steps, selection.keys.astype("datetime64[us]"), columns)
    return ForecastRequest(window, future, identity, selection.warnings)


def _known_values(
    name: str,
    values: npt.NDArray[np.float64],
    selection: Selection,
    forecaster: Forecaster,
    options: ForecastOptions,
) -> npt.NDArray[np.float64]:
    """Return the values, in the rows to predict, of a column that is known in advance."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    median = getattr(forecaster, "medians", {}).get(name)
    if options.relax_known_in_advance and median is not None:
        return np.where(missing, median, values)
    sent = selection.row_ids[missing & (selection.row_ids >= 0)].tolist()
    if sent:
        raise InvalidValues(
            {name: f"must have a value in each row to predict (got null in {describe_rows(sorted(sent))})"}
        )
    dates = describe_dates(np.unique(selection.keys[missing]))
    raise InvalidValues({name: f"must be known in advance: send rows with its values for {dates}"})
