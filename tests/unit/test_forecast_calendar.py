"""Steps, grids of dates, and the texts of dates in forecast requests."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import ConfigurationError
from modelgate.forecasting.calendar import Grid, parse_step
from modelgate.forecasting.timestamps import format_like, format_utc, parse_moment


def walls(*texts):
    return np.array([parse_moment(text, None).wall for text in texts])


def texts(keys):
    return [text.removesuffix("T00:00:00Z") for text in format_utc(keys, unit="s")]


@pytest.mark.parametrize("text", ["", "D", "0D", "1d", "1.5h", "-1D", "1 D", "1MS", None, 1])
def test_parse_step_rejects_other_texts(text):
    with pytest.raises(ConfigurationError, match="step must be a number and a unit"):
        parse_step(text)


@pytest.mark.parametrize(
    ("step", "dates", "following"),
    [
        ("1D", ["2024-02-27"], ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("1W", ["2024-02-27"], ["2024-03-05", "2024-03-12", "2024-03-19"]),
        ("1M", ["2024-01-15"], ["2024-02-15", "2024-03-15", "2024-04-15"]),
        ("1M", ["2023-12-31", "2024-01-31"], ["2024-02-29", "2024-03-31", "2024-04-30"]),
        ("1M", ["2023-01-30", "2023-02-28"], ["2023-03-30", "2023-04-30", "2023-05-30"]),
        ("1M", ["2023-01-31", "2023-02-28"], ["2023-03-31", "2023-04-30", "2023-05-31"]),
        ("1Q", ["2023-11-30"], ["2024-02-29", "2024-05-31", "2024-08-31"]),
        ("1Y", ["2024-02-29"], ["2025-02-28", "2026-02-28", "2027-02-28"]),
    ],
)
def test_grid_follows_the_calendar(step, dates, following):
    keys = walls(*dates)
    grid = Grid(parse_step(step), int(keys[-1]), keys)

    assert following == texts(grid.keys(np.array([1, 2, 3])))
    assert [1, 2, 3] == grid.positions(walls(*following))[0].tolist()
    assert grid.positions(walls(*following))[1].all()


@pytest.mark.parametrize(
    ("step", "date"),
    [("1D", "2024-01-06T12:00"), ("2D", "2024-01-07"), ("1M", "2024-02-07"), ("1W", "2024-01-14")],
)
def test_grid_detects_dates_between_steps(step, date):
    grid = Grid(parse_step(step), int(walls("2024-01-06")[0]), walls("2024-01-06", "2024-03-06"))

    assert [False] == grid.positions(walls(date))[1].tolist()


@given(
    st.sampled_from(["7s", "15min", "1h", "1D", "2W", "1M", "1Q", "1Y"]),
    st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1)),
    st.lists(st.integers(-500, 500), min_size=1),
)
def test_grid_positions_are_the_inverse_of_keys(step, origin, positions):
    key = walls(origin.isoformat())
    grid = Grid(parse_step(step), int(key[0]), key)
    found, on_grid = grid.positions(grid.keys(np.array(positions)))

    assert (positions, True) == (found.tolist(), bool(on_grid.all()))


@pytest.mark.parametrize(
    ("text", "wall", "utc"),
    [
        ("2024-03-31", "2024-03-31T00:00:00Z", "2024-03-31T00:00:00Z"),
        ("2024-03-31T00:00:00Z", "2024-03-31T00:00:00Z", "2024-03-31T00:00:00Z"),
        ("2024-03-31 00:00:00.5+01:00", "2024-03-31T00:00:00Z", "2024-03-30T23:00:00Z"),
        ("1900-01-01T00:00:00.000000Z", "1900-01-01T00:00:00Z", "1900-01-01T00:00:00Z"),
        ("2262-04-11T23:47:16.854775+00:00", "2262-04-11T23:47:16Z", "2262-04-11T23:47:16Z"),
    ],
)
def test_parse_moment_reads_zones_and_extreme_dates(text, wall, utc):
    assert [wall, utc] == format_utc(np.array(parse_moment(text, None)), unit="s")


@pytest.mark.parametrize(
    "text", ["", "x", "2024-02-30", "2024-1-6", "0001-01-01T00:00:00+01:00", "1704499200"]
)
def test_parse_moment_rejects_other_texts(text):
    assert parse_moment(text, None) is None


def test_parse_moment_uses_the_time_zone_for_texts_without_offset():
    zone = "Europe/Berlin"
    moments = [parse_moment(f"2024-03-31T{hour}:30", zone) for hour in ("01", "02", "03")]

    assert moments[1] is None  # clocks skipped this time
    assert 3_600_000_000 == moments[2].utc - moments[0].utc
    assert parse_moment("2024-07-01T12:00+00:00", zone) == parse_moment("2024-07-01T14:00", zone)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("2024-09-08T00:00", "America/Santiago"),
        ("2024-10-06T02:15", "Australia/Lord_Howe"),  # clocks skipped half an hour
        ("2011-12-30T10:00", "Pacific/Apia"),  # clocks skipped a day
    ],
)
def test_parse_moment_rejects_times_that_the_clocks_skipped(text, zone):
    assert parse_moment(text, zone) is None


def test_parse_moment_accepts_a_date_whose_midnight_the_clocks_skipped():
    moment = parse_moment("2024-09-08", "America/Santiago")

    assert ["2024-09-08T00:00:00Z", "2024-09-08T04:00:00Z"] == format_utc(np.array(moment), unit="s")


@pytest.mark.parametrize(
    ("text", "following", "utc"),
    [
        ("2024-03-30", "2024-03-31", "2024-03-31T00:00:00Z"),
        ("2024-03-30 00:00", "2024-03-31 00:00", "2024-03-31T00:00:00Z"),
        ("2024-03-30T00:00:00.000Z", "2024-03-31T00:00:00.000Z", "2024-03-31T00:00:00Z"),
        ("2024-03-30T00:00:00-02:00", "2024-03-31T00:00:00-02:00", "2024-03-31T02:00:00Z"),
    ],
)
def test_format_like_keeps_the_form_of_the_text(text, following, utc):
    key = parse_moment(text, None).wall + 86_400_000_000

    assert (following, utc) == (
        format_like(text, key, None, local=True)[0],
        *format_utc(np.array([format_like(text, key, None, local=True)[1]]), unit="s"),
    )


@pytest.mark.parametrize(
    ("text", "step", "following", "utc"),
    [
        ("2024-03-31T01:00", "1h", "2024-03-31T03:00", "2024-03-31T01:00:00Z"),
        ("2024-03-31T00:00:00Z", "1h", "2024-03-31T01:00:00Z", "2024-03-31T01:00:00Z"),
        ("2024-03-31T01:00+01:00", "1h", "2024-03-31T03:00+02:00", "2024-03-31T01:00:00Z"),
        ("2024-10-27T02:00+0200", "1h", "2024-10-27T02:00+0100", "2024-10-27T01:00:00Z"),
        ("2024-03-31", "1D", "2024-04-01", "2024-03-31T22:00:00Z"),
        ("2024-03-31T00:00+01:00", "1D", "2024-04-01T00:00+02:00", "2024-03-31T22:00:00Z"),
        ("2024-03-30T23:00Z", "1D", "2024-03-31T22:00Z", "2024-03-31T22:00:00Z"),
        ("2024-10-26T22:00:00.000Z", "1D", "2024-10-27T23:00:00.000Z", "2024-10-27T23:00:00Z"),
    ],
)
def test_format_like_follows_the_clocks_of_the_time_zone(text, step, following, utc):
    moment, parsed = parse_moment(text, "Europe/Berlin"), parse_step(step)
    key = (moment.wall if parsed.is_daily else moment.utc) + parsed.microseconds
    result, result_utc = format_like(text, key, "Europe/Berlin", local=parsed.is_daily)

    assert (following, [utc]) == (result, format_utc(np.array([result_utc]), unit="s"))
    assert parse_moment(result, "Europe/Berlin").utc == result_utc
