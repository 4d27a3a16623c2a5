"""Select histories and rows to predict, for one forecast point or for a range of dates."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import InvalidInput, InvalidValues
from .calendar import Grid, Keys
from .series_rows import SeriesRows, describe_dates, describe_rows

__all__ = ["Selection", "select_point", "select_range"]

_MAX_CELLS = 10_000_000
_MAX_ROWS = 1_000_000

_Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Selected histories, and the rows to predict after them.

    Args:
        codes: Index of the series of each history.
        points: Forecast point of each history.
        values: Target values of each history, oldest first.
        history: Index of the history of each row to predict.
        steps: Number of steps from the forecast point to each row to predict.
        keys: Date of each row to predict.
        row_ids: Index in the table of each row to predict; -1 for a row that was not sent.
        warnings: Warnings for the caller.
    """

    codes: _Indices
    points: Keys
    values: npt.NDArray[np.float64]
    history: _Indices
    steps: _Indices
    keys: Keys
    row_ids: _Indices
    warnings: list[str] = field(default_factory=list)


def select_point(rows: SeriesRows, point: int | None, *, allows_missing: bool) -> Selection:
    """Select the history of each series up to one forecast point, and the rows in the forecast window.

    If a series has no rows in the forecast window, a row is added for each step of the window.

    Args:
        rows: Rows of the request.
        point: Forecast point; None for the latest one for which every series has its history.
        allows_missing: Whether values of the history may be missing.

    Raises:
        InvalidInput: The history is not complete, or there is nothing to predict.
    """
    spec, warnings = rows.spec, list[str]()
    (first, last), (nearest, farthest) = spec.feature_derivation_window, spec.forecast_window
    if point is None:
        point = _latest_point(rows, warnings)
    grid = Grid(spec.parsed_step, point, rows.keys)
    positions, on_grid = grid.positions(rows.keys)
    inside = (positions >= first) & (positions <= farthest)
    _reject_off_grid(rows, inside & ~on_grid, point)
    slots = _arrange(rows, positions - first, np.flatnonzero(inside), farthest - first + 1)
    values = _values_in(rows, slots[:, : last - first + 1])
    if np.isnan(values).any():
        keys = grid.keys(np.arange(first, last + 1))
        _check_history(rows, keys, slots, values, allows_missing=allows_missing)

    window = slots[:, nearest - first :]
    sent = window >= 0
    outside = np.isnan(rows.values) & (positions > 0) & ((positions < nearest) | (positions > farthest))
    without_rows: npt.NDArray[np.bool_] = ~np.any(sent, axis=1)
    if outside.any():
        start, end = (describe_dates(grid.keys(np.array([step]))) for step in (nearest, farthest))
        ignored = describe_rows(np.flatnonzero(outside).tolist())
        if without_rows[rows.codes[outside]].any():
            raise InvalidInput(
                f"There is nothing to predict in {ignored}: the forecast window is from {start} to {end}"
            )
        warnings.append(
            f"Rows outside of the forecast window, from {start} to {end}, are not predicted: {ignored}"
        )
    codes, steps = np.nonzero(sent)
    order = np.argsort(window[codes, steps])
    new_codes, new_steps = np.nonzero(np.broadcast_to(without_rows[:, None], sent.shape))
    codes, steps = np.append(codes[order], new_codes), np.append(steps[order], new_steps)
    return Selection(
        np.arange(len(rows.names)),
        np.full(len(rows.names), point),
        values,
        codes,
        steps + nearest,
        grid.keys(steps + nearest),
        window[codes, steps],
        warnings,
    )


def select_range(rows: SeriesRows, start: int, end: int, *, allows_missing: bool) -> Selection:
    """Select each row of a range of dates once for every forecast point whose window contains the row.

    Forecast points before the first complete history, or after the last one, are not used.

    Args:
        rows: Rows of the request.
        start: First date to predict.
        end: Date at which the range ends; it is not predicted.
        allows_missing: Whether values of the history may be missing.

    Raises:
        InvalidInput: The history has gaps, or there is nothing to predict.
    """
    (first, last), spec = rows.spec.feature_derivation_window, rows.spec
    grid = Grid(spec.parsed_step, int(rows.keys.min()), rows.keys)
    positions, on_grid = grid.positions(rows.keys)
    _reject_off_grid(rows, ~on_grid, int(rows.keys.min()))
    slots = _arrange(rows, positions, np.arange(len(rows)), int(positions.max()) + 1)
    values = _values_in(rows, slots)
    known = ~np.isnan(values)
    if not known.any(axis=1).all():
        _raise_no_history(rows, int(np.flatnonzero(~known.any(axis=1))[0]))
    earliest, latest = known.argmax(axis=1), known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    for code in np.flatnonzero(known.sum(axis=1) < latest - earliest + 1).tolist():
        span = slice(earliest[code], latest[code] + 1)
        keys = grid.keys(np.arange(span.start, span.stop))
        _check_history(rows, keys, slots[:, span], values[:, span], allows_missing=allows_missing, only=code)

    predicted = np.flatnonzero((rows.keys >= start) & (rows.keys < end))
    if len(predicted) * len(spec.steps) > _MAX_ROWS:
        raise InvalidInput(f"The range has more than {_MAX_ROWS} predictions: send a shorter range")
    steps = np.array(spec.steps)
    codes = rows.codes[predicted][:, None]
    points = positions[predicted][:, None] - steps
    row, step = np.nonzero((points >= earliest[codes] - first) & (points <= latest[codes] - last))
    if allows_missing:
        counts = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
        code, begin = codes[row, 0], points[row, step] + first
        filled = counts[code, begin + spec.history_length] > counts[code, begin]
        row, step = row[filled], step[filled]
    if not len(row):
        raise InvalidInput(
            f"There is nothing to predict: no date in the range has {spec.history_length} steps of history"
        )
    order = np.lexsort((predicted[row], points[row, step]))
    row, step = row[order], step[order]
    points, codes = points[row, step], codes[row, 0]
    pairs, history = np.unique(np.stack([points, codes], axis=1), axis=0, return_inverse=True)
    points, codes = pairs.T
    histories = sliding_window_view(values, spec.history_length, axis=1)[codes, points + first]
    return Selection(
        codes,
        grid.keys(points),
        histories,
        history.reshape(-1),
        steps[step],
        rows.keys[predicted[row]],
        predicted[row],
    )


def _latest_point(rows: SeriesRows, warnings: list[str]) -> int:
    """Return the latest forecast point for which every series has its history.

    Add a warning if some series have later targets, which are not used.
    """
    known = ~np.isnan(rows.values)
    dates = np.full(len(rows.names), np.iinfo(np.int64).min)
    np.maximum.at(dates, rows.codes[known], rows.keys[known])
    earliest = int(dates.min())
    if earliest == np.iinfo(np.int64).min:
        _raise_no_history(rows, int(dates.argmin()))
    if earliest < dates.max():
        name = rows.describe(int(dates.argmin()))
        warnings.append(
            f"{name} has no {rows.spec.target!r} after {describe_dates(np.array([earliest]))}:"
            " values of other series after that date are not used"
        )
    last = rows.spec.feature_derivation_window[1]
    return int(Grid(rows.spec.parsed_step, earliest, rows.keys).keys(np.array([-last]))[0])


def _arrange(rows: SeriesRows, columns: _Indices, selected: _Indices, width: int) -> _Indices:
    """Return the row index for each series and date, of shape (series, width); -1 if there is no such row.

    Args:
        rows: Rows of the request.
        columns: For each row of the request, the index of its date, which is its column in the result.
        selected: Indices of the rows to arrange. Their columns must be from 0 to *width* - 1.
        width: Number of dates.

    Raises:
        InvalidInput: Two rows have the same series and date, or the dates are too far apart.
    """
    if len(rows.names) * width > _MAX_CELLS:
        raise InvalidInput(
            f"{len(rows.names)} series of {width} steps from the first to the last date are too many:"
            " send fewer series, or dates that are closer together"
        )
    slots = np.full((len(rows.names), width), -1)
    places = rows.codes[selected], columns[selected]
    slots[places] = selected
    if np.count_nonzero(slots >= 0) < len(selected):
        replaced = selected[slots[places] != selected]
        last = slots[rows.codes[replaced[0]], columns[replaced[0]]]
        others = replaced[(rows.codes[replaced] == rows.codes[last]) & (columns[replaced] == columns[last])]
        raise InvalidInput(
            f"{rows.describe(int(rows.codes[last]))} has several rows for {rows.dates[last]}"
            f" ({describe_rows([*others.tolist(), int(last)])}): send one row for each date"
        )
    return slots


def _values_in(rows: SeriesRows, slots: _Indices) -> npt.NDArray[np.float64]:
    return np.where(slots >= 0, rows.values[slots], np.nan)


def _reject_off_grid(rows: SeriesRows, wrong: npt.NDArray[np.bool_], origin: int) -> None:
    if wrong.any():
        date = describe_dates(np.array([origin]))
        rule = f"must be a whole number of steps of {rows.spec.step} from {date}"
        raise InvalidValues(
            {rows.spec.date_column: f"{rule} ({describe_rows(np.flatnonzero(wrong).tolist())})"}
        )


def _raise_no_history(rows: SeriesRows, code: int) -> None:
    raise InvalidInput(f"{rows.describe(code)} has no row with {rows.spec.target!r}: send its history")


def _check_history(
    rows: SeriesRows,
    keys: Keys,
    slots: _Indices,
    values: npt.NDArray[np.float64],
    *,
    allows_missing: bool,
    only: int | None = None,
) -> None:
    """Raise `InvalidInput` if the history lacks required values.

    Args:
        rows: Rows of the request.
        keys: Dates of the history.
        slots: Row index for each series and date; see `_arrange`. The first columns are for the dates in
            *keys*. Other columns are not checked.
        values: Target for each series and date of the history.
        allows_missing: Whether a series may lack some of the values, but not all.
        only: Series to check; None for all.
    """
    missing = np.isnan(values)
    faulty: npt.NDArray[np.bool_] = (np.all if allows_missing else np.any)(missing, axis=1)
    codes = (
        np.flatnonzero(faulty) if only is None else np.flatnonzero(faulty & (np.arange(len(faulty)) == only))
    )
    if not len(codes):
        return
    code, target = int(codes[0]), repr(rows.spec.target)
    absent = keys[slots[code, : len(keys)] < 0]
    null = slots[code, : len(keys)][missing[code] & (slots[code, : len(keys)] >= 0)]
    problems = [f"there is no row for {describe_dates(absent)}"] if len(absent) else []
    problems += [f"{target} is null in {describe_rows(sorted(null.tolist()))}"] if len(null) else []
    dates = rows.keys[rows.codes == code]
    if len(absent) and (absent[-1] < dates.min() or absent[0] > dates.max()):
        problems[0] += f" (its rows are from {describe_dates(np.array([dates.min()]))} to"
        problems[0] += f" {describe_dates(np.array([dates.max()]))})"
    first, last = (describe_dates(keys[[index]]) for index in (0, -1))
    more = f" ({len(codes) - 1} more series are incomplete, too)" if len(codes) > 1 else ""
    raise InvalidInput(
        f"{rows.describe(code)} needs {target} for all {len(keys)} steps from {first} to {last}:"
        f" {'; '.join(problems)}{more}"
    )
