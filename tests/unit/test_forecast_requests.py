"""Reading of forecast requests: histories, rows to predict, and errors that name rows and dates."""

import datetime
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import ConfigurationError, InvalidInput
from modelgate.flow import Wait
from modelgate.forecasting import ForecastOptions, TimeSeriesSpec
from modelgate.forecasting.read_request import read_request
from modelgate.inference import Predictor
from modelgate.scoring import Query
from modelgate.scoring.forecast import forecast as scoring_forecast
from support.series import SPEC, Drift, daily, drift_rows


def forecast(rows, forecaster=None, **options):
    """Return the predicted rows as (series, forecast point, step, date, row id, value)."""
    forecaster = forecaster or Drift()
    request = read_request(forecaster.spec.schema().read(rows), forecaster, ForecastOptions(**options))
    values = forecaster.forecast(request.window, request.horizon, request.future)
    identity = request.rows
    return list(
        zip(
            identity.series or [None] * len(identity),
            (point[:10] for point in identity.points),
            identity.steps.tolist(),
            identity.dates,
            identity.row_ids.tolist(),
            values.tolist(),
            strict=True,
        )
    )


def without(rows, *indices):
    return [row for index, row in enumerate(rows) if index not in indices]


def change(rows, index, **values):
    return [{**row, **values} if index == number else row for number, row in enumerate(rows)]


def test_forecast_of_several_series():
    """Each series grows by one a day, so the values to predict are known."""

    assert [
        (1, "2018-01-05", 1, "2018-01-06", 5, 105.0),
        (1, "2018-01-05", 2, "2018-01-07", 6, 106.0),
        (1, "2018-01-05", 3, "2018-01-08", 7, 107.0),
        (2, "2018-01-05", 1, "2018-01-06", 13, 205.0),
        (2, "2018-01-05", 2, "2018-01-07", 14, 206.0),
        (2, "2018-01-05", 3, "2018-01-08", 15, 207.0),
    ] == forecast(drift_rows())


def test_window_has_the_feature_derivation_window_only():
    forecaster = Drift()
    forecast(drift_rows(history=9), forecaster)
    window, horizon, future = forecaster.calls[0]

    assert [[105, 106, 107, 108], [205, 206, 207, 208]] == window.values.tolist()
    assert (["1", "2"], 3) == (window.series, horizon)
    assert ["2018-01-10", "2018-01-11", "2018-01-12"] == future.dates[:3].astype("datetime64[D]").astype(
        str
    ).tolist()


@given(st.randoms(use_true_random=False))
def test_order_of_the_rows_changes_only_the_order_of_the_predictions(shuffler):
    rows = drift_rows()
    shuffled = list(range(len(rows)))
    shuffler.shuffle(shuffled)
    found = forecast([rows[index] for index in shuffled])
    restored = [(*row[:4], shuffled[row[4]], row[5]) for row in found]

    assert [row[4] for row in found] == sorted(row[4] for row in found)
    assert sorted(forecast(rows), key=repr) == sorted(restored, key=repr)


def test_missing_forecast_rows_are_generated():
    """A series with some rows to predict gets only these; their numbers follow those of the sent rows."""
    spec = msgspec.structs.replace(SPEC, known_in_advance=[])
    rows = [*drift_rows(stores=[1], future=0), *drift_rows(stores=[2], future=1)]

    assert [
        (2, 1, "2018-01-06", 10),
        (1, 1, "2018-01-06", 11),
        (1, 2, "2018-01-07", 12),
        (1, 3, "2018-01-08", 13),
    ] == [(row[0], *row[2:5]) for row in forecast(rows, Drift(spec))]


def test_targets_after_the_forecast_point_are_not_used():
    """Nor are any other values, except those known in advance."""
    rows = drift_rows(history=8, future=0)
    expected = forecast(rows, forecast_point="2018-01-05")
    changed = [{**row, "sales": -1e9, "other": 7} if row["date"] > "2018-01-05" else row for row in rows]

    assert expected == forecast(changed, forecast_point="2018-01-05")
    assert 105.0 == expected[0][5]

    known = [{**row, "promo": 1} if row["date"] == "2018-01-06" else row for row in rows]

    assert 115.0 == forecast(known, forecast_point="2018-01-05")[0][5]


def test_forecast_point_is_the_latest_date_that_every_series_has():
    rows = change(drift_rows(), 12, sales=None)
    forecaster = Drift()
    request = read_request(SPEC.schema().read(rows), forecaster)

    assert {"2018-01-04T00:00:00Z"} == set(request.rows.points)
    assert [
        "Series '2' has no 'sales' after 2018-01-04: values of other series after that date are not used",
        "Rows outside of the forecast window, from 2018-01-05 to 2018-01-07, are not predicted: row 7, 15",
    ] == list(request.warnings)


def test_forecast_point_may_lie_after_the_history():
    """As with a feature derivation window that ends before the forecast point."""
    spec = msgspec.structs.replace(SPEC, feature_derivation_window=(-5, -3))

    assert ["2018-01-08"] * 2 == [
        row[1] for row in forecast(drift_rows(history=5, future=5), Drift(spec))[:2]
    ]


def test_single_series_has_no_id():
    spec = msgspec.structs.replace(SPEC, series_id=None)

    assert {None} == {row[0] for row in forecast(drift_rows(stores=[1]), Drift(spec))}


@pytest.mark.parametrize("point", ["2018-01-05", "2018-01-05T00:00:00", "2018-01-05T00:00:00.000Z"])
def test_forecast_point_may_have_any_form(point):
    assert forecast(drift_rows()) == forecast(drift_rows(), forecast_point=point)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("1900-01-01T00:00:00.000000Z", "2262-04-11T23:47:16.854775+00:00"),
        ("2018-01-07", "2018-01-09"),
        ("2018-01-06T12:00", "2018-01-08T00:00:01"),
    ],
)
def test_range_equals_single_forecasts_joined(start, end):
    rows = drift_rows(history=8, future=2)
    points = daily("2018-01-04", 5)
    joined = [
        row for point in points for row in forecast(rows, forecast_point=point) if start <= row[3] < end
    ]

    assert joined == forecast(rows, start=start, end=end)


def test_range_ends_before_its_end_date():
    found = forecast(drift_rows(history=8, future=0), start="2018-01-06", end="2018-01-07")

    assert {"2018-01-06"} == {row[3] for row in found}


def test_monthly_rows_at_the_end_of_the_month():
    spec = msgspec.structs.replace(SPEC, step="1M", series_id=None, known_in_advance=[])
    dates = ["2023-10-31", "2023-11-30", "2023-12-31", "2024-01-31"]
    rows = [{"date": date, "sales": index} for index, date in enumerate(dates)]

    assert ["2024-02-29", "2024-03-31", "2024-04-30"] == [row[3] for row in forecast(rows, Drift(spec))]


@pytest.mark.parametrize(
    ("step", "dates", "following"),
    [
        (
            "1D",
            [
                "2024-03-28T00:00+01:00",
                "2024-03-29T00:00+01:00",
                "2024-03-30T00:00+01:00",
                "2024-03-31T00:00+01:00",
            ],
            "2024-04-01T00:00+02:00",
        ),
        (
            "1h",
            [
                "2024-10-27T00:00+02:00",
                "2024-10-27T01:00+02:00",
                "2024-10-27T02:00+02:00",
                "2024-10-27T02:00+01:00",
            ],
            "2024-10-27T03:00+01:00",
        ),
    ],
)
def test_steps_over_a_change_of_the_clocks(step, dates, following):
    """A day has 23 hours then, and an hour appears twice."""
    spec = msgspec.structs.replace(SPEC, step=step, series_id=None, known_in_advance=[])
    rows = [{"date": date, "sales": index} for index, date in enumerate([*dates, following])]
    rows[-1]["sales"] = None

    assert [(None, 1, following, 4, 4.0)] == [(row[0], *row[2:]) for row in forecast(rows, Drift(spec))]


ROWS = drift_rows()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        pytest.param([], {}, "has no rows", id="no-rows"),
        pytest.param(
            [*ROWS, ROWS[3]], {}, r"Series '1' has several rows for 2018-01-04 \(row 3, 16\)", id="duplicate"
        ),
        pytest.param(
            without(ROWS, 3), {}, "Series '1' needs 'sales' .*: there is no row for 2018-01-04$", id="gap"
        ),
        pytest.param(change(ROWS, 2, sales=None), {}, "'sales' is null in row 2$", id="null-in-history"),
        pytest.param(
            without(ROWS, 0, 1, 2),
            {},
            r"for all 4 steps from 2018-01-02 to 2018-01-05: there is no row for 2018-01-02, 2018-01-03"
            r" \(its rows are from 2018-01-04 to 2018-01-08\)$",
            id="too-short",
        ),
        pytest.param(
            ROWS,
            {"forecast_point": "1961-01-01"},
            r"no row for 1960-12-29, .* \(its rows are from 2018-01-01 to 2018-01-08\) \(1 more series",
            id="forecast-point-before-the-rows",
        ),
        pytest.param(
            change(ROWS, 4, date="2018-01-05T12:00"),
            {},
            r"date must be a whole number of steps of 1D .*\(row 4\)",
            id="off-step",
        ),
        pytest.param(change(ROWS, 4, date="5 Jan"), {}, r"ISO 8601.*\(row 4\)", id="not-a-date"),
        pytest.param(change(ROWS, 4, store=3), {}, r"trained with, not '3' \(row 4\)", id="unknown-series"),
        pytest.param(change(ROWS, 4, store="1"), {}, "both by a number and by text", id="mixed-series"),
        pytest.param(
            change(ROWS, 4, store=True), {}, "both by a number and by a boolean", id="series-as-boolean"
        ),
        pytest.param(
            change(ROWS, 6, promo=None),
            {},
            r"promo must have a value in each row to predict \(got null in row 6\)$",
            id="known-null",
        ),
        pytest.param(
            without(ROWS, 5, 6, 7),
            {},
            "send rows with its values for 2018-01-06, 2018-01-07, 2018-01-08$",
            id="known-not-sent",
        ),
        pytest.param(
            [*drift_rows(future=0), {"date": "2018-01-20", "store": 1, "sales": None, "promo": 0}],
            {},
            "nothing to predict in row 10: the forecast window is from 2018-01-06 to 2018-01-08",
            id="beyond-the-window",
        ),
        pytest.param(change(drift_rows([1]), 0, store=2), {}, "needs 'sales'", id="short-second-series"),
        pytest.param(
            [{**row, "sales": None} if row["store"] == 2 else row for row in ROWS],
            {},
            "'2' has no row with",
            id="empty",
        ),
        pytest.param(
            ROWS, {"forecast_point": "soon"}, "The forecast point must be a date", id="point-not-a-date"
        ),
        pytest.param(
            ROWS,
            {"forecast_point": datetime.date(2018, 1, 5)},
            "The forecast point must be a date.* ISO 8601",
            id="point-not-a-text",
        ),
        pytest.param(
            drift_rows([1], start="9999-12-27", future=0),
            {"relax_known_in_advance": True},
            "not within the years 1 to 9999",
            id="after-the-year-9999",
        ),
        pytest.param(ROWS, {"start": "2018-01-05"}, "together", id="start-alone"),
        pytest.param(
            ROWS,
            {"start": "2018-01-05", "end": "2018-01-06", "forecast_point": "2018-01-05"},
            "exclude",
            id="both",
        ),
        pytest.param(
            ROWS, {"start": "2018-01-01", "end": "2018-01-02"}, "nothing to predict", id="empty-range"
        ),
        pytest.param(
            without(ROWS, 2),
            {"start": "1900-01-01", "end": "2100-01-01"},
            "no row for 2018-01-03",
            id="gap-in-range",
        ),
        pytest.param(
            change(ROWS, 0, date="1700-01-01"),
            {"start": "1900-01-01", "end": "2100-01-01"},
            "no row for",
            id="range-with-a-distant-date",
        ),
    ],
)
def test_invalid_rows_are_named(rows, options, message):
    with pytest.raises(InvalidInput, match=message):
        forecast(rows, **options)


def test_dates_too_far_apart_are_rejected_before_memory_is_used():
    spec = msgspec.structs.replace(SPEC, step="1s", series_id=None)
    rows = [{"date": date, "sales": 1, "promo": 0} for date in ("1900-01-01", "2100-01-01")]
    with pytest.raises(InvalidInput, match="too many"):
        forecast(rows, Drift(spec), start="1900-01-01", end="2100-01-01")


def test_relaxed_values_known_in_advance_are_the_median_of_the_training():
    forecaster = Drift()
    forecaster.medians = {"promo": 0.5}
    rows = change(ROWS, 5, promo=None)

    assert 110.0 == forecast(rows, forecaster, relax_known_in_advance=True)[0][5]


def test_relaxed_history_needs_a_forecaster_that_accepts_nan():
    rows = without(ROWS, 2)
    with pytest.raises(InvalidInput, match="no row for 2018-01-03"):
        forecast(rows, relax_history=True)
    forecaster = Drift()
    forecaster.allows_missing = True

    assert 6 == len(forecast(rows, forecaster, relax_history=True))


@pytest.mark.parametrize("option", ["spec", "request"])
def test_unknown_series_need_a_forecaster_that_predicts_them(option):
    spec = msgspec.structs.replace(SPEC, unknown_series="accept") if option == "spec" else SPEC
    options = {"relax_series": option == "request"}
    rows = [{**row, "store": row["store"] + 5} for row in ROWS]
    forecaster = Drift(spec)
    with pytest.raises(InvalidInput, match="trained with, not '6', '7'"):
        forecast(rows, forecaster, **options)
    forecaster.allows_new_series = True

    assert 6 == len(forecast(rows, forecaster, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": "daily"}, "step must be"),
        ({"feature_derivation_window": (-3, 1)}, "feature_derivation_window must be"),
        ({"feature_derivation_window": (0, -3)}, "feature_derivation_window must be"),
        ({"forecast_window": (0, 3)}, "forecast_window must be"),
        ({"forecast_window": (1.0, 3)}, "forecast_window must be"),
        ({"known_in_advance": "promo"}, "known_in_advance must be a list"),
        ({"known_in_advance": ["sales"]}, "must be different columns"),
        ({"date_column": ""}, "column names must be text"),
        ({"unknown_series": "warn"}, "unknown_series must be"),
        ({"timezone": "Mars"}, "timezone must be"),
    ],
)
def test_spec_rejects_invalid_values(options, message):
    fields = {name: getattr(SPEC, name) for name in SPEC.__struct_fields__}
    with pytest.raises(ConfigurationError, match=message):
        TimeSeriesSpec(**{**fields, **options})


def test_many_series_are_read_at_once():
    rows = drift_rows(stores=range(100))
    random.Random(0).shuffle(rows)
    forecaster = Drift()
    forecaster.series = None

    assert 300 == len(forecast(rows, forecaster))
    assert 1 == len(forecaster.calls)


def test_a_range_of_dates_is_read_in_a_worker_thread():
    """It may have far more predictions than the request has rows."""
    predictor = Predictor(Drift())
    options = ForecastOptions(start="2000-01-01", end="2100-01-01")
    query = Query(b"", table=predictor.schema.read(drift_rows()), predictor=predictor, forecast=options)

    assert isinstance(next(scoring_forecast(query)), Wait)
