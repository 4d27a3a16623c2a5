"""Direct forecaster: one scikit-learn regressor predicts all series and steps in one call."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from ..cancellation import stop_if_abandoned
from ..errors import ConfigurationError, RequestError
from ..schema import Table
from ..schema.coerce import to_json_value
from ..schema.introspection.estimator_info import has_tag
from .calendar import Grid
from .checks import require_levels, require_spec
from .features import feature_matrix, scales
from .forecaster import Future, Window
from .options import ForecastOptions
from .read_request import read_request
from .request import ForecastRequest
from .series_rows import SeriesRows
from .spec import TimeSeriesSpec

__all__ = ["DirectForecaster", "DirectState"]

_MAX_RESIDUALS = 1000
_CHUNK_ROWS = 8192
"""Largest number of rows in one call of the regressor. Each row has a copy of its history."""

# Start on the second day: east of Greenwich, the first day of the year 1 begins before the year 1 in UTC.
_ALL_DATES = ForecastOptions(start="0001-01-02", end="9999-12-31", relax_history=True)


class DirectState(msgspec.Struct, frozen=True, kw_only=True):
    """Fitted state of a `DirectForecaster`, without its regressor.

    Attributes:
        series: Names of the training series, as text; None for a single series.
        medians: Median of each column known in advance, by name.
        typical_size: Median absolute value of the target, rounded to one significant digit.
        levels: Levels of the prediction intervals, in percent.
        residuals: Absolute errors of the backtest for each step of the forecast window, in ascending order.
            They are divided by the scale of the series (see `scales`).
        example: Example rows of a request, taken from the training rows.
    """

    series: list[str] | None = None
    medians: dict[str, float] = {}
    typical_size: float = 1.0
    levels: list[float] = []
    residuals: list[list[float]] = []
    example: list[dict[str, Any]] = []


class DirectForecaster:
    """Forecaster that predicts all steps directly with one regressor, for a `modelgate.Deployment`.

    The regressor learns from all series. Its features are the history divided by the history's mean absolute
    value, the value one season before, the step, the calendar, and the columns known in advance. The name of
    the series is not a feature, so the forecaster can also predict series that it was not trained with.

    Prediction intervals come from a backtest: a copy of the regressor is fitted to the earlier part of the
    rows, and its errors in the later part are collected by step. An interval of 80 % covers about 80 % of
    future values if the series continue to behave as in the later part. This is not guaranteed, because the
    values of a series depend on each other.

    Args:
        regressor: Regressor that takes arrays, such as ``Ridge()`` or ``HistGradientBoostingRegressor()``.
        spec: Columns, step and windows of the series.
        levels: Levels of the prediction intervals in percent; empty for no intervals and no backtest.
        backtest: Fraction of the forecast points that the backtest predicts. These are the latest ones.

    Attributes:
        state: Fitted state without the regressor. Before `fit`, it contains only the levels.

    Raises:
        ConfigurationError: The value of an option is not valid.
    """

    allows_new_series = True

    def __init__(
        self, regressor: Any, spec: TimeSeriesSpec, *, levels: Sequence[float] = (80,), backtest: float = 0.2
    ) -> None:
        if not hasattr(regressor, "predict") or isinstance(regressor, type):
            raise ConfigurationError(f"regressor must have the method predict (got {regressor!r})")
        require_spec(spec)
        require_levels(levels)
        if isinstance(backtest, bool) or not isinstance(backtest, int | float) or not 0 < backtest < 1:
            raise ConfigurationError(f"backtest must be a number above 0 and below 1 (got {backtest!r})")
        self.regressor = regressor
        self.spec = spec
        self.state = DirectState(levels=list(levels))
        self._backtest = backtest

    @classmethod
    def restore(cls, regressor: Any, spec: TimeSeriesSpec, state: DirectState) -> Self:
        """Create a fitted forecaster from a fitted regressor and a state.

        Raises:
            ConfigurationError: *state* has levels, and more or fewer lists of residuals than *spec* has
                steps; or *state* has residuals but no levels.
        """
        if len(state.residuals) != (len(spec.steps) if state.levels else 0):
            raise ConfigurationError(
                "residuals must have one list for each step of the forecast window, or no list if there are no"
                f" levels (got {len(state.residuals)} lists)"
            )
        forecaster = cls(regressor, spec, levels=state.levels)
        forecaster.state = state
        return forecaster

    @property
    def series(self) -> frozenset[str] | None:
        """Names of the training series, as text; None for a single series."""
        return None if self.state.series is None else frozenset(self.state.series)

    @property
    def medians(self) -> Mapping[str, float]:
        """Median in the training rows of each column that is known in advance."""
        return self.state.medians

    @property
    def typical_size(self) -> float:
        """Median absolute value of the target in the training rows, rounded to one significant digit."""
        return self.state.typical_size

    @property
    def levels(self) -> Sequence[float]:
        """Levels of the prediction intervals, in percent."""
        return self.state.levels

    def has_level(self, level: float) -> bool:
        """Return whether the backtest has enough forecast points for intervals of *level* percent."""
        counts = [len(residuals) for residuals in self.state.residuals]
        return bool(counts) and 0 < level < 100 and _rank(min(counts), level) <= min(counts)

    @property
    def example(self) -> Sequence[Mapping[str, Any]]:
        """Example rows of a request: the end of a training series."""
        return self.state.example

    @property
    def allows_missing(self) -> bool:
        """Whether the history may have missing values, because the regressor accepts NaN."""
        return has_tag(self.regressor, "allow_nan")

    def fit(self, rows: Any) -> Self:
        """Fit the regressor to *rows*, after a backtest if there are levels. Return the forecaster.

        Args:
            rows: History of one or more series, in any form that `modelgate.Schema.read` accepts. Histories
                with missing rows or values are not used.

        Raises:
            ConfigurationError: The rows do not match the spec, or there are too few of them.
        """
        table, request, targets = self._read_training(rows)
        scale = scales(request.window)
        features = feature_matrix(self.spec, request.window, request.future, scale)
        scaled = targets / scale[request.future.history]
        residuals = self._run_backtest(request, features, scaled) if self.levels else []
        self.regressor.fit(features, scaled)
        spec = self.spec
        names = None if spec.series_id is None else sorted(set(request.window.series))
        medians = {name: float(np.nanmedian(table[name])) for name in spec.known_in_advance}
        self.state = DirectState(
            series=names,
            medians=medians,
            typical_size=float(f"{np.nanmedian(np.abs(table[spec.target])):.1g}") or 1.0,
            levels=list(self.levels),
            residuals=residuals,
            example=self._example(table, request),
        )
        return self

    def forecast(self, window: Window, horizon: int, future: Future) -> npt.NDArray[np.float64]:  # noqa: ARG002
        """Return the prediction of each row; see `Forecaster`."""
        scale = scales(window)
        predictions = []
        for start in range(0, len(future.steps), _CHUNK_ROWS):
            stop_if_abandoned()
            part = future.select(slice(start, start + _CHUNK_ROWS))
            values = self.regressor.predict(feature_matrix(self.spec, window, part, scale))
            predictions.append(np.asarray(values, dtype=np.float64).reshape(-1))
        return np.concatenate(predictions) * scale[future.history]

    def intervals(
        self, window: Window, future: Future, values: npt.NDArray[np.float64], level: float
    ) -> npt.NDArray[np.float64]:
        """Return the lower and upper end of each row's prediction interval, of shape (rows, 2).

        Args:
            window: Histories.
            future: Rows for which intervals are computed.
            values: Predictions for these rows.
            level: Level in percent, for which `has_level` is True.
        """
        widths = np.array([residuals[_rank(len(residuals), level) - 1] for residuals in self.state.residuals])
        width = widths[future.steps - self.spec.forecast_window[0]] * scales(window)[future.history]
        return np.stack([values - width, values + width], axis=1)

    def _read_training(self, rows: Any) -> tuple[Table, ForecastRequest, npt.NDArray[np.float64]]:
        """Read the training data *rows*. Rows without a target, or with gaps in their history, are not used.

        Returns:
            All rows as a table; the histories and the rows to predict; and the target of each row to predict.
        """
        try:
            table = self.spec.schema().read(rows)
            request = read_request(table, _UnfittedForecaster(self.spec), _ALL_DATES)
        except RequestError as error:
            raise ConfigurationError(f"rows must be complete series: {error}") from error
        targets: npt.NDArray[np.float64] = table[self.spec.target][request.rows.row_ids]
        incomplete: npt.NDArray[np.bool_] = np.any(np.isnan(request.window.values), axis=1)
        usable = ~np.isnan(targets) & ~incomplete[request.future.history]
        if not usable.any():
            raise ConfigurationError(
                f"rows must have a series of at least {self.spec.history_length + self.spec.forecast_window[0]}"
                f" steps without gaps (got {len(table)} rows)"
            )
        part = request.future.select(usable)
        return table, ForecastRequest(request.window, part, request.rows), targets[usable]

    def _run_backtest(
        self, request: ForecastRequest, features: npt.NDArray[np.float64], scaled: npt.NDArray[np.float64]
    ) -> list[list[float]]:
        """Fit a copy of the regressor to the earlier rows, and return its errors in the later rows.

        For each step, the result has a list of absolute errors, in ascending order.
        """
        from sklearn.base import clone

        future = request.future
        points = request.window.points[future.history]
        distinct = np.unique(points)
        split = distinct[min(len(distinct) - 1, int(len(distinct) * (1 - self._backtest)))]
        earlier, later = future.dates <= split, points >= split
        if not earlier.any():
            raise ConfigurationError(
                f"backtest must leave rows to fit (got {self._backtest}): lower it, fit more rows, or pass"
                " levels=()"
            )
        regressor = clone(self.regressor).fit(features[earlier], scaled[earlier])
        errors = np.abs(np.asarray(regressor.predict(features[later])).reshape(-1) - scaled[later])
        residuals = []
        for step in self.spec.steps:
            of_step = np.sort(errors[future.steps[later] == step])
            if _rank(len(of_step), max(self.levels)) > len(of_step):
                raise ConfigurationError(
                    f"levels must be lower (got {max(self.levels)}), because the backtest has only"
                    f" {len(of_step)} forecast points for step {step}: fit more rows, raise backtest, or pass levels=()"
                )
            indices = np.linspace(0, len(of_step) - 1, min(len(of_step), _MAX_RESIDUALS)).round().astype(int)
            residuals.append(of_step[indices].tolist())
        return residuals

    def _example(self, table: Table, request: ForecastRequest) -> list[dict[str, Any]]:
        """Return rows of a request: the latest history with the most rows to predict, and these rows."""
        spec, window = self.spec, request.window
        counts = np.bincount(request.future.history, minlength=len(window.series))
        histories = np.flatnonzero(counts == counts.max())
        history = int(histories[np.argmax(window.points[histories])])
        rows, point = SeriesRows(table, spec), int(window.points[history].astype(np.int64))
        positions, _ = Grid(spec.parsed_step, point, rows.keys).positions(rows.keys)
        (first, last), (_, farthest) = spec.feature_derivation_window, spec.forecast_window
        of_series = rows.codes == rows.names.index(window.series[history])
        selected = np.flatnonzero(of_series & (positions >= first) & (positions <= farthest))
        selected = selected[np.argsort(positions[selected])]
        records = table.rows()
        example = [
            {name: to_json_value(value) for name, value in records[row].items()} for row in selected.tolist()
        ]
        for row in example[np.count_nonzero(positions[selected] <= last) :]:
            row[spec.target] = None
        return example


class _UnfittedForecaster:
    """Placeholder for the forecaster, used while its training rows are read."""

    allows_missing = True

    def __init__(self, spec: TimeSeriesSpec) -> None:
        self.spec = spec

    def forecast(self, window: Window, horizon: int, future: Future) -> npt.NDArray[np.float64]:
        raise NotImplementedError


def _rank(count: int, level: float) -> int:
    """Return the rank, from 1, of the error that is half the width of an interval.

    *count* is the number of errors, which are in ascending order. This is the rank of split conformal
    prediction: if errors are exchangeable, the interval contains at least *level* percent of the values.
    """
    return math.ceil((count + 1) * level / 100)
