"""Forecast with fitted recursive forecasters of skforecast."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, InvalidInput, InvalidValues
from .calendar import Grid
from .checks import require_history, require_levels, require_spec
from .example import generate_rows
from .forecaster import Future, Window
from .series_rows import describe_dates
from .spec import TimeSeriesSpec

__all__ = ["SkforecastForecaster"]


class SkforecastForecaster:
    """Forecaster that applies a fitted recursive forecaster of skforecast to the history in a request.

    A recursive forecaster predicts a step from its own predictions of the previous steps. If there are
    columns known in advance, a request must therefore predict all dates from the forecast point to the last
    date. Series that the model was not fitted to are rejected.

    Args:
        model: Fitted ``ForecasterRecursive`` for a single series, or ``ForecasterRecursiveMultiSeries`` for a
            spec with a ``series_id``. Its training series must be indexed by dates without a time zone.
        spec: Columns, step and windows of the series. The columns known in advance must be the ``exog``
            columns that the model was trained with.
        levels: Levels of the prediction intervals in percent; empty for no intervals. The intervals are
            conformal. They are computed from the residuals of ``set_out_sample_residuals`` if there are any,
            else from the training residuals, which are usually too small.

    Raises:
        ConfigurationError: The value of an option is not valid, the model does not match the spec, or
            skforecast is not installed.
    """

    def __init__(self, model: Any, spec: TimeSeriesSpec, *, levels: Sequence[float] = ()) -> None:
        require_spec(spec)
        require_levels(levels)
        _check_model(model, spec)
        import pandas as pd

        self._model = model
        self.spec = spec
        self.levels = list(levels)
        self.series = None if spec.series_id is None else frozenset(model.series_names_in_)
        self.example_date = pd.date_range("2024", periods=1, freq=model.index_freq_).to_numpy()[0]
        self._uses_training_residuals = not self._has_residuals(model.out_sample_residuals_)
        if levels and self._uses_training_residuals and not self._has_residuals(model.in_sample_residuals_):
            raise ConfigurationError(
                "levels must be empty for a model without residuals: call set_out_sample_residuals, or fit"
                f" with store_in_sample_residuals=True (got {levels!r})"
            )
        self.example = generate_rows(self)

    def forecast(self, window: Window, horizon: int, future: Future) -> npt.NDArray[np.float64]:  # noqa: ARG002
        """Return the prediction of each row; see `Forecaster`.

        Raises:
            InvalidInput: The dates do not have the model's frequency, or a value known in advance is missing
                for a date between the forecast point and the last row to predict.
        """
        return self._predict(self._model.predict, ["pred"], window, future)[:, 0]

    def intervals(
        self,
        window: Window,
        future: Future,
        values: npt.NDArray[np.float64],  # noqa: ARG002
        level: float,
    ) -> npt.NDArray[np.float64]:
        """Return the lower and upper end of each row's prediction interval; see `Forecaster`."""
        return self._predict(
            self._model.predict_interval,
            ["lower_bound", "upper_bound"],
            window,
            future,
            method="conformal",
            interval=level / 100,
            use_in_sample_residuals=self._uses_training_residuals,
        )

    def _has_residuals(self, residuals: Any) -> bool:
        if self.series is None or residuals is None:
            return residuals is not None
        return all(residuals.get(name) is not None for name in self.series)

    def _predict(
        self, predict: Any, names: list[str], window: Window, future: Future, **options: Any
    ) -> npt.NDArray[np.float64]:
        """Return the columns *names* of the result of *predict* for each row, of shape (rows, names).

        Series with the same forecast point and the same last step are predicted in one call.
        """
        import pandas as pd

        results = np.empty((len(future.steps), len(names)))
        farthest = np.zeros(len(window.series), dtype=np.int64)
        np.maximum.at(farthest, future.history, future.steps)
        groups: dict[Any, list[int]] = {}
        for history, group in enumerate(zip(window.points, farthest.tolist(), strict=True)):
            groups.setdefault(group, []).append(history)
        for (point, step), histories in groups.items():
            count = step - self.spec.feature_derivation_window[1]  # from the end of the history
            past, ahead = self._dates(point, count)
            series = [window.series[history] for history in histories]
            rows = [np.flatnonzero(future.history == history) for history in histories]
            for indices in rows:
                self._check_dates(ahead[future.steps[indices] - step - 1], future.dates[indices])
            last_window = pd.DataFrame(window.values[histories].T, index=past, columns=series)
            exog = self._exog(series, rows, future, ahead) if self.spec.known_in_advance else None
            if self.series is None:
                inputs = {"last_window": last_window[series[0]], "exog": exog and exog[series[0]]}
            else:
                inputs = {"last_window": last_window, "exog": exog, "levels": series}
            frame = pd.DataFrame(predict(steps=count, **inputs, **options))
            predictions = frame[names].to_numpy().reshape(count, len(series), len(names))
            for place, indices in enumerate(rows):
                results[indices] = predictions[future.steps[indices] - step - 1, place]
        return results

    def _dates(self, point: np.datetime64, count: int) -> tuple[Any, Any]:
        """Return the dates of a history, and of the *count* steps after it, in the frequency of the model."""
        import pandas as pd

        freq = self._model.index_freq_
        try:
            end = pd.Timestamp(point) + self.spec.feature_derivation_window[1] * freq
            past = pd.date_range(end=end, periods=self.spec.history_length, freq=freq)
            return past, pd.date_range(past[-1], periods=count + 1, freq=freq)[1:]
        except pd.errors.OutOfBoundsDatetime:
            raise InvalidInput("Dates must be between the years 1678 and 2261") from None

    def _check_dates(self, expected: Any, dates: npt.NDArray[np.datetime64]) -> None:
        if not np.array_equal(expected.to_numpy(), dates):
            freq, date = self._model.index_freq_.freqstr, expected[0].date()
            raise InvalidValues(
                {self.spec.date_column: f"must be dates of the training frequency {freq}, such as {date}"}
            )

    def _exog(
        self, series: list[str], rows: list[npt.NDArray[np.int64]], future: Future, ahead: Any
    ) -> dict[str, Any]:
        """Return the columns known in advance for the dates *ahead*, by series."""
        import pandas as pd

        frames = {}
        for name, indices in zip(series, rows, strict=True):
            frame = pd.DataFrame(
                {column: future.columns[column][indices] for column in self._model.exog_names_in_},
                index=future.steps[indices],
            ).reindex(range(1, len(ahead) + 1))
            lacking: npt.NDArray[np.bool_] = frame.isna().any(axis=1).to_numpy()
            if lacking.any():
                dates = describe_dates(ahead[lacking].to_numpy().astype("datetime64[us]").astype(np.int64))
                rule = f"must be known for each step up to the last predicted one: also send rows for {dates}"
                raise InvalidValues(dict.fromkeys(self.spec.known_in_advance, rule))
            frames[name] = frame.set_axis(ahead)
        return frames


def _check_model(model: Any, spec: TimeSeriesSpec) -> None:
    """Raise `ConfigurationError` if *model* cannot predict series of *spec*."""
    try:
        from skforecast.recursive import ForecasterRecursive, ForecasterRecursiveMultiSeries
    except ImportError:
        raise ConfigurationError(
            'SkforecastForecaster needs skforecast: pip install "modelgate[skforecast]"'
        ) from None
    expected = ForecasterRecursive if spec.series_id is None else ForecasterRecursiveMultiSeries
    if not isinstance(model, expected) or not model.is_fitted:
        reason = "without" if spec.series_id is None else "with"
        raise ConfigurationError(
            f"model must be a fitted {expected.__name__} for a spec {reason} series_id"
            f" (got {type(model).__name__})"
        )
    require_history(spec, model.window_size)
    _check_index(model, spec)
    _check_exog(model, spec)


def _check_index(model: Any, spec: TimeSeriesSpec) -> None:
    import pandas as pd

    ranges = model.training_range_ if spec.series_id is None else next(iter(model.training_range_.values()))
    if not isinstance(ranges, pd.DatetimeIndex) or ranges.tz is not None:
        raise ConfigurationError("model must be fitted to series indexed by dates without a time zone")
    dates = pd.date_range(ranges[0], periods=10, freq=model.index_freq_)
    keys = dates.to_numpy().astype("datetime64[us]").astype(np.int64)
    positions, on_grid = Grid(spec.parsed_step, int(keys[0]), keys).positions(keys)
    if not on_grid.all() or not np.array_equal(positions, np.arange(10)):
        raise ConfigurationError(
            f"step must be the frequency of the model, which is {model.index_freq_.freqstr} (got {spec.step!r})"
        )


def _check_exog(model: Any, spec: TimeSeriesSpec) -> None:
    from pandas.api.types import is_numeric_dtype

    names = model.exog_names_in_ or []
    if set(names) != set(spec.known_in_advance):
        raise ConfigurationError(
            f"known_in_advance must be the exog columns of the model, {names} (got {spec.known_in_advance!r})"
        )
    others = [name for name, dtype in (model.exog_dtypes_in_ or {}).items() if not is_numeric_dtype(dtype)]
    if others:
        raise ConfigurationError(f"model must be fitted with numeric exog columns (got {', '.join(others)})")
    if names and spec.forecast_window[0] - spec.feature_derivation_window[1] != 1:
        raise ConfigurationError(
            "forecast_window must begin right after feature_derivation_window if the model has exog columns"
            f" (got {spec.forecast_window!r}): the model needs their values for every step after the history"
        )
