"""Fitted models of skforecast and statsforecast: a gate returns what the libraries themselves predict.

`test_forecasting_libraries.py` runs these tests in an environment that has both libraries.
"""

import datetime
import re
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from skforecast.recursive import ForecasterRecursive, ForecasterRecursiveMultiSeries
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from statsforecast import StatsForecast
from statsforecast.models import AutoARIMA, AutoETS, SeasonalNaive
from statsforecast.utils import ConformalIntervals

from modelgate import (
    ConfigurationError,
    Deployment,
    Gate,
    SkforecastForecaster,
    StatsforecastForecaster,
    TimeSeriesSpec,
)
from modelgate.testing import Client

SPEC = TimeSeriesSpec(
    date_column="date",
    target="sales",
    series_id="store",
    step="1D",
    feature_derivation_window=(-13, 0),
    forecast_window=(1, 7),
)
SINGLE = msgspec.structs.replace(SPEC, series_id=None)
PROMO = msgspec.structs.replace(SPEC, known_in_advance=["promo"])
STORES = ["north", "south", "west"]
DAYS = 120
DATES = pd.date_range("2024-01-01", periods=DAYS + 40, freq="D")
NEW = slice(DAYS + 10, DAYS + 24)  # a history that no model was fitted to
random = np.random.default_rng(0)
PROMOTED = pd.Series(random.integers(0, 2, len(DATES)), index=DATES, name="promo")
WEEK = np.sin(np.arange(len(DATES)) * 2 * np.pi / 7)
SALES = pd.DataFrame(
    {
        store: size * (1 + 0.3 * WEEK) + 20 * PROMOTED + random.normal(0, 5, len(DATES))
        for store, size in zip(STORES, (100, 200, 400), strict=True)
    },
    index=DATES,
)
TRAINING, HISTORY = SALES[:DAYS], SALES[NEW]
AHEAD = DATES[NEW.stop : NEW.stop + 7]


def long_form(frame):
    """Return a row for each date and column, as statsforecast takes them."""
    return frame.reset_index(names="ds").melt("ds", var_name="unique_id", value_name="y")


def serve(model):
    return Client(Gate([Deployment("sales", model)], keys="open").wsgi)


def rows_of(stores, dates=HISTORY.index, *, known=True, shift=datetime.timedelta(0)):
    """Return rows of *stores*, with null as target if it is not *known*."""
    return [
        {
            "date": (date + shift).date().isoformat(),
            "store": store,
            "sales": float(SALES.loc[date, store]) if known else None,
            "promo": int(PROMOTED[date]),
        }
        for store in stores
        for date in dates
    ]


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def forecast(client, rows, query=""):
    """Return the predicted rows, by series and step."""
    response = client.post(f"/deployments/sales/predict{query}", json=rows)
    assert response.status == 200, response.json()
    forecast = response.json()["forecast"]
    return {(row.get("series"), row["step"]): row for row in forecast}


def predictions_of(found, series):
    return [row["prediction"] for (name, _), row in sorted(found.items()) if name == series]


def bounds_of(found, series):
    return [
        list(row["intervals"]["80"].values()) for (name, _), row in sorted(found.items()) if name == series
    ]


def read_error(client, rows, query=""):
    """Return the text of the response's 400."""
    response = client.post(f"/deployments/sales/predict{query}", json=rows)
    assert response.status == 400, response.json()
    return str(response.json())


@pytest.fixture(scope="module")
def many():
    """Forecaster of all stores that knows the promotions, with residuals of the training."""
    model = ForecasterRecursiveMultiSeries(Ridge(), lags=14)
    model.fit(TRAINING, exog=PROMOTED[:DAYS].to_frame(), store_in_sample_residuals=True)
    return model


@pytest.fixture(scope="module")
def one():
    """Forecaster of a single series, without other columns and without residuals."""
    model = ForecasterRecursive(Ridge(), lags=7)
    model.fit(TRAINING["north"])
    return model


@pytest.fixture(scope="module")
def naive():
    return {store: SeasonalNaive(7).fit(TRAINING[store].to_numpy()) for store in STORES}


def test_skforecast_series_with_columns_known_in_advance_and_intervals(many):
    """The series are sent in another order than that of the training, and one is left out."""
    client = serve(SkforecastForecaster(many, PROMO, levels=[80]))
    stores = ["west", "north"]
    found = forecast(client, rows_of(stores) + rows_of(stores, AHEAD, known=False))
    exog = {store: PROMOTED[AHEAD].astype(float).to_frame() for store in stores}
    own = many.predict_interval(
        7, levels=stores, last_window=HISTORY[stores], exog=exog, method="conformal", interval=0.8
    )

    for store in stores:
        expected = own[own["level"] == store]
        assert expected["pred"].tolist() == pytest.approx(predictions_of(found, store), rel=1e-12)
        assert expected[["lower_bound", "upper_bound"]].to_numpy() == pytest.approx(
            np.array(bounds_of(found, store)), rel=1e-12
        )
    assert [date.date().isoformat() for date in AHEAD] == [
        found["west", step]["date"] for step in range(1, 8)
    ]


def test_skforecast_single_series(one):
    """A longer history than the lags, and only some of the steps."""
    rows = rows_of(["north"]) + rows_of(["north"], AHEAD[[1, 4]], known=False)
    found = forecast(serve(SkforecastForecaster(one, SINGLE)), [without(row, "store") for row in rows])
    own = one.predict(5, last_window=HISTORY["north"])

    assert {(None, 2), (None, 5)} == set(found)
    assert own.iloc[[1, 4]].tolist() == pytest.approx(predictions_of(found, None), rel=1e-12)
    assert "intervals" not in found[None, 2]


def test_skforecast_history_that_ends_before_the_forecast_point(one):
    spec = msgspec.structs.replace(SINGLE, feature_derivation_window=(-14, -2), forecast_window=(2, 3))
    point = HISTORY.index[-1] + 2 * HISTORY.index.freq
    rows = [without(row, "store") for row in rows_of(["north"])]
    found = forecast(
        serve(SkforecastForecaster(one, spec)), rows, f"?forecast_point={point.date().isoformat()}"
    )
    own = one.predict(5, last_window=HISTORY["north"])

    assert own.iloc[[3, 4]].tolist() == pytest.approx(predictions_of(found, None), rel=1e-12)


def test_skforecast_range_of_forecast_points():
    """Each forecast point has the predictions of a request of its own."""
    model = ForecasterRecursiveMultiSeries(HistGradientBoostingRegressor(max_iter=20), lags=7)
    model.fit(TRAINING)
    client = serve(SkforecastForecaster(model, SPEC))
    dates = DATES[NEW.start - 8 : NEW.stop + 7]
    response = client.post(
        f"/deployments/sales/predict?start={AHEAD[0].date()}&end={AHEAD[3].date()}",
        json=rows_of(STORES, dates),
    )
    found = response.json()["forecast"]
    points = sorted({row["forecast_point"] for row in found})
    for point in points:
        for store in STORES:
            history = SALES.loc[: point[:10], [store]][-14:]
            own = model.predict(7, levels=[store], last_window=history)["pred"].to_numpy()
            rows = [row for row in found if (row["series"], row["forecast_point"]) == (store, point)]
            assert rows
            assert [own[row["step"] - 1] for row in rows] == pytest.approx(
                [row["prediction"] for row in rows], rel=1e-12
            )
    assert len(points) > 3


def test_skforecast_prefers_residuals_of_other_rows_than_the_training():
    model = ForecasterRecursive(Ridge(), lags=7)
    model.fit(TRAINING["north"], store_in_sample_residuals=True)
    actual = SALES["north"][DAYS : DAYS + 10]
    model.set_out_sample_residuals(y_true=actual, y_pred=model.predict(10))
    rows = [without(row, "store") for row in rows_of(["north"])]
    found = forecast(serve(SkforecastForecaster(model, SINGLE, levels=[80])), rows)
    own = model.predict_interval(
        7,
        last_window=HISTORY["north"],
        method="conformal",
        interval=0.8,
        use_in_sample_residuals=False,
    )

    assert own[["lower_bound", "upper_bound"]].to_numpy() == pytest.approx(
        np.array(bounds_of(found, None)), rel=1e-12
    )


def test_skforecast_needs_each_step_of_columns_known_in_advance(many):
    """Also in a range of dates: its first forecast point is seven days before it, unless there is no history."""
    client = serve(SkforecastForecaster(many, PROMO))
    rows = rows_of(STORES)
    error = read_error(client, rows + rows_of(STORES, AHEAD[[0, 1, 3]], known=False))
    assert "promo" in error
    assert f"each step up to the last predicted one: also send rows for {AHEAD[2].date()}" in error

    dates = DATES[NEW.start : NEW.stop + 10]
    query = f"?end={dates[-1].date()}&start="
    assert len(forecast(client, rows_of(STORES, dates), f"{query}{AHEAD[0].date()}")) == 21
    error = read_error(client, rows_of(STORES, dates), f"{query}{AHEAD[1].date()}")
    assert f"also send rows for {AHEAD[0].date()}" in error


@pytest.mark.parametrize("freq, step", [("W-SUN", "1W"), ("ME", "1M")])
def test_skforecast_rejects_dates_of_another_frequency(freq, step):
    """Mondays for a model of Sundays; the first days of months for a model of last days.

    The example for callers has the model's dates.
    """
    index = pd.date_range("2020-01-31", periods=60, freq=freq)
    model = ForecasterRecursive(Ridge(), lags=7)
    model.fit(pd.Series(np.arange(60.0), index=index))
    spec = msgspec.structs.replace(SINGLE, step=step)
    client = serve(SkforecastForecaster(model, spec))
    example = client.get("/deployments/sales").json()["example"]

    def rows(index):
        return [{"date": date.date().isoformat(), "sales": 1.0 + row} for row, date in enumerate(index)]

    assert 7 == len(forecast(client, rows(index[:14]))) == len(forecast(client, example))
    error = read_error(client, rows(index[:14] + pd.Timedelta(days=1)))
    assert f"must be dates of the training frequency {freq}, such as 20" in error


def test_skforecast_rejects_dates_beyond_pandas(one):
    rows = [{"date": f"1500-01-{day:02}", "sales": float(day)} for day in range(1, 15)]

    assert "Dates must be between the years 1678 and 2261" in read_error(
        serve(SkforecastForecaster(one, SINGLE)), rows
    )


def test_window_is_checked_before_the_library(many, naive):
    """A gap, and a series without a model. The library would predict NaN for the series."""
    for model in (SkforecastForecaster(many, PROMO), StatsforecastForecaster(naive, SPEC)):
        client = serve(model)
        rows = rows_of(["north"]) + rows_of(["north"], AHEAD, known=False)
        gap = rows[:5] + rows[6:]
        assert f"there is no row for {HISTORY.index[5].date()}" in read_error(client, gap)
        unknown = [{**row, "store": "east"} for row in rows]
        assert "must be a series that the model was trained with" in read_error(client, unknown)


@pytest.mark.parametrize("query", ["", "?relax_series=true"])
def test_unknown_series_stay_unknown(naive, query):
    spec = msgspec.structs.replace(SPEC, unknown_series="accept")
    client = serve(StatsforecastForecaster(naive, spec))
    rows = [{**row, "store": "east"} for row in rows_of(["north"])]

    assert "must be a series that the model was trained with" in read_error(client, rows, query)


@pytest.mark.parametrize(
    "model", [AutoARIMA(season_length=7), AutoETS(season_length=7), SeasonalNaive(7)], ids=str
)
def test_statsforecast_models_of_several_series(model):
    """Models that `StatsForecast` fitted, with intervals. Requests do not change them."""
    engine = StatsForecast([model], freq="D").fit(long_form(TRAINING))
    models = dict(zip(engine.uids, engine.fitted_[:, 0], strict=True))
    client = serve(StatsforecastForecaster(models, SPEC, levels=[80]))
    stores = ["west", "north"]
    before = {store: models[store].predict(7)["mean"].tolist() for store in stores}
    for _ in range(2):
        found = forecast(client, rows_of(stores))
        for store in stores:
            own = models[store].forward(HISTORY[store].to_numpy(), 7, level=[80])
            assert own["mean"].tolist() == pytest.approx(predictions_of(found, store), rel=1e-12)
            assert np.array([own["lo-80"], own["hi-80"]]).T == pytest.approx(
                np.array(bounds_of(found, store)), rel=1e-12
            )

    assert before == {store: models[store].predict(7)["mean"].tolist() for store in stores}


def test_statsforecast_single_series():
    """The history ends before the forecast point, and only some steps are sent."""
    spec = msgspec.structs.replace(SINGLE, feature_derivation_window=(-14, -2), forecast_window=(2, 5))
    model = AutoARIMA(season_length=7).fit(TRAINING["north"].to_numpy())
    rows = rows_of(["north"]) + rows_of(["north"], AHEAD[[4]], known=False)
    found = forecast(serve(StatsforecastForecaster(model, spec)), [without(row, "store") for row in rows])
    own = model.forward(HISTORY["north"].to_numpy()[-13:], 5)["mean"]

    assert [pytest.approx(own[4], rel=1e-12)] == predictions_of(found, None)
    assert "intervals" not in next(iter(found.values()))


def test_infinity_from_a_library_is_a_500():
    """The squares of the errors in the history overflow, so the interval has no ends."""
    model = SeasonalNaive(7).fit(TRAINING["north"].to_numpy())
    history = HISTORY["north"].to_numpy() * 1e200
    with np.errstate(all="ignore"):
        assert not np.isfinite(model.forward(history, 7, level=[80])["hi-80"]).any()
    rows = [
        {**without(row, "store"), "sales": value}
        for row, value in zip(rows_of(["north"]), history.tolist(), strict=True)
    ]
    client = serve(StatsforecastForecaster(model, SINGLE, levels=[80]))

    assert 500 == client.post("/deployments/sales/predict", json=rows).status


def test_model_that_needs_other_columns_is_rejected_when_it_is_loaded():
    model = AutoARIMA().fit(TRAINING["north"].to_numpy(), X=PROMOTED[:DAYS].to_numpy(float)[:, None])

    with pytest.raises(ConfigurationError, match=r"must be able to predict its example .*No regressors"):
        serve(StatsforecastForecaster(model, SINGLE))


def invalid_skforecast_options(many, one):
    """Return arguments and the message of each error."""
    replace = msgspec.structs.replace
    numbered, zoned, text = (ForecasterRecursive(HistGradientBoostingRegressor(), lags=7) for _ in range(3))
    numbered.fit(TRAINING["north"].reset_index(drop=True))
    zoned.fit(TRAINING["north"].tz_localize("UTC"))
    kind = pd.Series(["a", "b"] * 60, index=TRAINING.index, dtype="category", name="kind")
    text.fit(TRAINING["north"], exog=kind.to_frame())
    return [
        (Ridge(), SINGLE, [], "model must be a fitted ForecasterRecursive for a spec without series_id"),
        (many, SINGLE, [], "model must be a fitted ForecasterRecursive for a spec without series_id"),
        (one, SPEC, [], "(got ForecasterRecursive)"),
        (ForecasterRecursive(Ridge(), lags=7), SINGLE, [], "model must be a fitted ForecasterRecursive"),
        (one, replace(SINGLE, feature_derivation_window=(-5, 0)), [], "must have at least 7 steps"),
        (numbered, SINGLE, [], "series indexed by dates without a time zone"),
        (zoned, SINGLE, [], "series indexed by dates without a time zone"),
        (
            one,
            replace(SINGLE, step="1h"),
            [],
            "step must be the frequency of the model, which is D (got '1h')",
        ),
        (text, replace(SINGLE, known_in_advance=["kind"]), [], "numeric exog columns (got kind)"),
        (many, SPEC, [], "known_in_advance must be the exog columns of the model, ['promo'] (got ())"),
        (many, replace(PROMO, forecast_window=(2, 7)), [], "must begin right after"),
        (one, SINGLE, [80], "levels must be empty for a model without residuals"),
        (one, SINGLE, [100], "levels must be numbers above 0"),
    ]


def test_skforecast_options_are_checked(many, one):
    for model, spec, levels, message in invalid_skforecast_options(many, one):
        with pytest.raises(ConfigurationError) as info:
            SkforecastForecaster(model, spec, levels=levels)
        assert message in str(info.value)


def test_statsforecast_options_are_checked(naive):
    north = TRAINING["north"].to_numpy()
    conformal = SeasonalNaive(7, prediction_intervals=ConformalIntervals(h=7)).fit(north)
    for message, models, spec, levels in [
        ("known_in_advance must be empty for models of statsforecast (got ['promo'])", naive, PROMO, []),
        ("models must be a mapping from series to models", naive["north"], SPEC, []),
        ("models must be a mapping from series to models", naive, SINGLE, []),
        ("models must be fitted models of statsforecast", AutoARIMA(), SINGLE, []),
        ("must have at least 28 steps", SeasonalNaive(28).fit(north), SINGLE, []),
        ("levels must be empty for a model with prediction_intervals", conformal, SINGLE, [80]),
        ("levels must be numbers above 0", naive, SPEC, "80"),
    ]:
        with pytest.raises(ConfigurationError) as info:
            StatsforecastForecaster(models, spec, levels=levels)
        assert message in str(info.value)


def test_examples_of_the_documentation_run():
    """Sybil skips them, because the libraries are not in its environment."""
    page = (Path(__file__).parents[2] / "docs" / "time_series.md").read_text("utf-8")
    section = page.partition("\n## Models of skforecast and statsforecast\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    namespace = {
        "Deployment": Deployment,
        "Ridge": Ridge,
        "gate": Gate(keys="open"),
        "series": TRAINING,
        "promotions": PROMOTED[:DAYS].to_frame(),
        "frame": long_form(TRAINING),
        "spec": PROMO,
        "spec_without_promotions": SPEC,
    }
    for block in blocks:
        exec(block, namespace)
    for name in ("skforecast", "statsforecast"):
        prediction = namespace["gate"].score(name, rows_of(STORES) + rows_of(STORES, AHEAD, known=False))
        assert (21, 2) == prediction.outputs[0].intervals["80"].shape
