"""Direct forecasts with regressors of scikit-learn."""

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge

from modelgate import ConfigurationError
from modelgate.forecasting import DirectForecaster, ForecastOptions
from modelgate.forecasting.direct import DirectState
from modelgate.forecasting.read_request import read_request
from support.marks import slow
from support.series import SPEC, daily, sales_rows

WEEKLY = msgspec.structs.replace(SPEC, feature_derivation_window=(-13, 0), forecast_window=(1, 7))
ROWS = sales_rows()
DATES = daily("2017-01-01", 1250)
SPLIT, OVERLAP = "2017-06-01", "2017-05-18"


def fit(regressor=None, rows=ROWS, spec=WEEKLY, **options):
    return DirectForecaster(regressor or Ridge(), spec, **options).fit(rows)


def predict(forecaster, rows, **options):
    request = read_request(forecaster.spec.schema().read(rows), forecaster, ForecastOptions(**options))
    return request, forecaster.forecast(request.window, request.horizon, request.future)


def held_out(rows, regressor, spec=WEEKLY):
    """Fit the rows before SPLIT; return the request for all later ones, and predicted and true values."""
    forecaster = fit(regressor, [row for row in rows if row["date"] < SPLIT], spec)
    later = [row for row in rows if row["date"] >= OVERLAP]
    request, predicted = predict(forecaster, later, start=SPLIT, end="2100-01-01")
    return forecaster, request, predicted, np.array([later[row]["sales"] for row in request.rows.row_ids])


@pytest.mark.parametrize(
    "regressor", [Ridge(), *slow(HistGradientBoostingRegressor(max_iter=50))], ids=["ridge", "hgb"]
)
def test_forecasts_beat_the_last_season(regressor):
    """The value of a week before is the forecast to beat."""
    _, request, predicted, actual = held_out(ROWS, regressor)
    naive = request.window.values[request.future.history, request.future.steps + 6]

    assert np.abs(predicted - actual).mean() < 0.6 * np.abs(naive - actual).mean()


def test_many_rows_are_predicted_in_parts():
    """Otherwise the copies of the histories could fill the memory."""

    counts = []

    class LastValue:
        def predict(self, features):
            counts.append(len(features))
            return features[:, 13]

    rows = [{"date": date, "store": 1, "promo": 0, "sales": size} for size, date in enumerate(DATES, 1)]
    forecaster = DirectForecaster(LastValue(), WEEKLY, levels=())
    request, predicted = predict(forecaster, rows, start=DATES[0], end="2100-01-01")

    assert [8192, len(request) - 8192] == counts
    # The value of a day is its number, and the prediction is the value at the forecast point.
    np.testing.assert_allclose(predicted, request.rows.row_ids + 1 - request.rows.steps, rtol=1e-12)


@pytest.mark.slow
def test_intervals_cover_as_many_values_as_they_claim():
    """Mean of generated data sets, because the errors of one depend on each other."""
    coverage = []
    for seed in range(6):
        forecaster, request, predicted, actual = held_out(sales_rows(seed=seed), Ridge())
        low, high = forecaster.intervals(request.window, request.future, predicted, 80).T
        coverage.append(((low <= actual) & (actual <= high)).mean())

    assert 0.75 <= np.mean(coverage) <= 0.85


@pytest.mark.slow
def test_all_series_and_steps_are_predicted_in_one_call():
    forecaster, calls = fit(), []
    forecaster.regressor = Counting(forecaster.regressor, calls)
    rows = [{**row, "store": f"{row['store']}"} for row in ROWS if row["date"] >= OVERLAP]
    many = [{**row, "store": store} for store in range(100) for row in rows if row["store"] == "1"]
    predict(forecaster, many, forecast_point="2017-06-10", relax_series=True)

    assert [(700, 14 + 1 + 1 + 7 + 4 + 1)] == calls


class Counting:
    def __init__(self, regressor, calls):
        self.regressor, self.calls = regressor, calls

    def predict(self, features):
        self.calls.append(features.shape)
        return self.regressor.predict(features)


@pytest.mark.slow
def test_later_values_do_not_change_a_forecast():
    forecaster = fit()
    later = [{**row, "sales": -1e6} if row["date"] > SPLIT else row for row in ROWS]

    assert np.array_equal(
        predict(forecaster, ROWS, forecast_point=SPLIT)[1],
        predict(forecaster, later, forecast_point=SPLIT)[1],
    )


@pytest.mark.slow
def test_series_of_another_size_are_predicted_in_proportion():
    forecaster = fit()
    larger = [{**row, "sales": 1000 * row["sales"]} for row in ROWS]

    assert np.allclose(
        1000 * predict(forecaster, ROWS, forecast_point=SPLIT)[1],
        predict(forecaster, larger, forecast_point=SPLIT)[1],
    )


def test_series_of_zeros_are_predicted():
    rows = [{**row, "sales": 0.0} for row in ROWS]
    _, predicted = predict(fit(rows=rows), rows, forecast_point=SPLIT)

    assert np.abs(predicted).max() < 1e-9


@pytest.mark.parametrize("step", ["1h", "15min", "1W", "1M", "1Y"])
def test_any_step_has_features(step):
    spec = msgspec.structs.replace(WEEKLY, step=step, series_id=None)
    unit = {"1h": "h", "15min": "m", "1W": "W", "1M": "M", "1Y": "Y"}[step]
    count = {"1W": 7, "15min": 15}.get(step, 1)
    start = np.datetime64("1970", "D" if step == "1W" else unit)
    dates = [str((start + count * index).astype("datetime64[m]")) for index in range(100)]
    rows = [{"date": date, "sales": 5.0 + index % 3, "promo": 0} for index, date in enumerate(dates)]
    forecaster = fit(rows=rows, spec=spec, levels=[])
    _, predicted = predict(forecaster, forecaster.example)

    assert 7 == len(predicted)
    assert np.abs(predicted - 6).max() < 2


def test_history_with_gaps_is_left_out_of_the_training():
    rows = [row for row in ROWS if not "2016-05-01" < row["date"] < "2016-06-01"]
    forecaster = fit(rows=rows)

    assert np.isfinite(predict(forecaster, forecaster.example)[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        [row for row in ROWS if row["store"] != 1 or row["date"] > "2017-12-25"],
        [{**row, "sales": None} if row["date"] == "2017-12-20" else row for row in ROWS],
        [row for row in ROWS if row["date"] != "2017-12-20"],
        ROWS[::-1],
    ],
    ids=["short-series", "null", "gap", "reversed"],
)
def test_example_has_a_complete_history(rows):
    forecaster = fit(rows=rows)
    request, predicted = predict(forecaster, forecaster.example)

    assert [1, 2, 3, 4, 5, 6, 7] == request.rows.steps.tolist()
    assert np.isfinite(predicted).all()


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin", *slow("America/New_York", "UTC+14:00")])
def test_local_time_is_fitted_and_predicted(zone):
    spec = msgspec.structs.replace(WEEKLY, timezone=zone)
    without_zone, forecaster = fit(), fit(spec=spec)

    assert np.array_equal(
        predict(without_zone, without_zone.example)[1], predict(forecaster, forecaster.example)[1]
    )


def test_example_can_be_scored():
    forecaster = fit()
    request, _ = predict(forecaster, forecaster.example)

    assert [1, 2, 3, 4, 5, 6, 7] == request.rows.steps.tolist()
    assert {1} == set(request.rows.series)


@pytest.mark.slow
def test_missing_history_is_allowed_if_the_regressor_accepts_nan():
    assert (False, True) == (
        fit().allows_missing,
        fit(HistGradientBoostingRegressor(max_iter=5)).allows_missing,
    )


@pytest.mark.slow
def test_state_survives_json():
    forecaster = fit(levels=[80, 90])
    state = msgspec.json.decode(msgspec.json.encode(forecaster.state), type=DirectState)
    restored = DirectForecaster.restore(forecaster.regressor, WEEKLY, state)
    request, predicted = predict(restored, forecaster.example)
    bounds = [
        restored.intervals(request.window, request.future, predicted, level) for level in restored.levels
    ]

    assert forecaster.state == state
    assert np.array_equal(predict(forecaster, forecaster.example)[1], predicted)
    assert (bounds[0][:, 0] > bounds[1][:, 0]).all()
    assert (bounds[0][:, 1] < bounds[1][:, 1]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "rows", "message"),
    [
        ({"regressor": LinearRegression}, ROWS, "regressor must have the method predict"),
        ({"spec": "1D"}, ROWS, "spec must be a TimeSeriesSpec"),
        ({"levels": [100]}, ROWS, "levels must be numbers above 0 and below 100"),
        ({"levels": "80"}, ROWS, "levels must be numbers"),
        ({"backtest": 1}, ROWS, "backtest must be a number above 0 and below 1"),
        ({"levels": [99]}, sales_rows(1, 60), "levels must be lower .got 99.*because the backtest has only"),
        ({"backtest": 0.999}, ROWS, "backtest must leave rows to fit .got 0.999"),
        ({}, sales_rows(1, 10), "no date in the range has 14 steps of history"),
        ({}, [row for row in ROWS if row["date"][-1] != "7"], "rows must have a series of at least 15 steps"),
        ({}, [{"date": "2018-01-01"}], "rows must be complete series"),
        ({}, [{**row, "promo": None} for row in ROWS], "rows must be complete series: .*promo"),
    ],
)
def test_invalid_options_and_rows(options, rows, message):
    with pytest.raises(ConfigurationError, match=message):
        fit(rows=rows, **options)
