"""Parsing and conversion of dates and times as functions."""

import datetime
import time
import zoneinfo

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from modelgate.schema.datetimes import (
    find_zone,
    parse_datetime,
    parse_iso,
    read_datetime_dtype,
    to_python_datetimes,
)


def test_iso_dates_and_times():
    moment = datetime.datetime(2024, 1, 31, 10, 30)

    assert datetime.datetime(2024, 1, 31) == parse_iso("2024-01-31")
    assert moment == parse_iso("2024-01-31 10:30")
    assert moment.replace(tzinfo=datetime.UTC) == parse_iso("2024-01-31T10:30Z")
    assert [None, None, None] == list(map(parse_iso, ["2024-02-30", "31.1.2024", "2024-W05-3"]))


@pytest.mark.parametrize(
    ("text", "resolution", "value"),
    [
        ("2024-01-31T00:00:00.123456789", "ns", "2024-01-31T00:00:00.123456789"),
        ("2024-01-31T00:00:00.1234567", "ns", "2024-01-31T00:00:00.123456700"),
        ("2024-01-31T00:00:00.5", "ns", "2024-01-31T00:00:00.500000000"),
        ("2024-01-31", "ns", "2024-01-31T00:00:00.000000000"),
        ("2024-01-31T00:00:00.123456789", None, "2024-01-31T00:00:00.123456"),
        ("2024-01-31T00:00:00.123456", "us", "2024-01-31T00:00:00.123456"),
        ("2024-01-31T00:00:00.9996", "ms", "2024-01-31T00:00:00.999"),
        ("2024-01-31T00:00:59.9Z", "s", "2024-01-31T00:00:59"),
        ("1677-12-31", "s", "1677-12-31T00:00:00"),
        ("1678-01-01", "ns", "1678-01-01T00:00:00.000000000"),
        ("2261-12-31", None, "2261-12-31T00:00:00.000000"),
    ],
)
def test_digits_beyond_the_resolution_are_dropped(text, resolution, value):
    parsed, expected = parse_datetime(text, with_offset=False, resolution=resolution), np.datetime64(value)

    assert (expected, expected.dtype) == (parsed, parsed.dtype)


@pytest.mark.parametrize(
    ("text", "resolution"),
    [
        ("1677-12-31", "ns"),
        ("1677-12-31", None),
        ("2262-01-01", "ns"),
        ("2024-02-30", "s"),
        ("2024-01-31T10:00+01:00", "s"),
        ("today", "s"),
    ],
)
def test_other_texts_are_no_datetimes(text, resolution):
    assert parse_datetime(text, with_offset=False, resolution=resolution) is None


def test_offset_is_converted_to_utc(monkeypatch):
    """The time zone of the process does not matter."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    parsed = parse_datetime("2024-01-31T01:30+01:00", with_offset=True, resolution="s")
    without = parse_datetime("2024-01-31T01:30", with_offset=True, resolution="s")
    beyond = parse_datetime("9999-12-31T23:30-01:00", with_offset=True, resolution="s")
    monkeypatch.undo()
    time.tzset()

    assert (np.datetime64("2024-01-31T00:30:00"), None, None) == (parsed, without, beyond)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("UTC", datetime.UTC),
        ("UTC+00:00", datetime.UTC),
        ("UTC+01:30", datetime.timezone(datetime.timedelta(hours=1, minutes=30))),
        ("UTC-01:30", datetime.timezone(-datetime.timedelta(hours=1, minutes=30))),
        ("UTC-00:30", datetime.timezone(-datetime.timedelta(minutes=30))),
        ("Europe/Berlin", zoneinfo.ZoneInfo("Europe/Berlin")),
    ],
)
def test_time_zones_by_name(name, zone):
    assert zone == find_zone(name)
    assert (zone is datetime.UTC) == (find_zone(name) is datetime.UTC)


@pytest.mark.parametrize("name", ["UTC+99:00", "Europe/Atlantis", "../etc/passwd", ""])
def test_other_time_zones_are_rejected(name):
    with pytest.raises(ValueError, match="no time zone is called ") as info:
        find_zone(name)
    assert str(info.value).endswith(repr(name))


def test_arrays_become_python_datetimes():
    values = np.array(["2024-01-31T10:00:00.123456789", "NaT"], "datetime64[ns]")
    moment = datetime.datetime(2024, 1, 31, 10, 0, 0, 123456)
    [local, missing] = to_python_datetimes(values, "Europe/Berlin")

    assert [moment, None] == to_python_datetimes(values, None)
    assert missing is None
    assert (moment.replace(tzinfo=datetime.UTC), 11) == (local, local.hour)


@pytest.mark.parametrize(
    ("dtype", "timezone", "resolution"),
    [
        (np.dtype("datetime64[ns]"), None, "ns"),
        (np.dtype("datetime64[us]"), None, "us"),
        (np.dtype("datetime64[ms]"), None, "ms"),
        (np.dtype("datetime64[D]"), None, "s"),
        (pandas.DatetimeTZDtype("us", "Europe/Berlin"), "Europe/Berlin", "us"),
        (pandas.ArrowDtype(pyarrow.timestamp("ms", "UTC")), "UTC", "ms"),
        (pyarrow.timestamp("s"), None, "s"),
        (polars.Datetime("ns"), None, "ns"),
        (polars.Datetime("us", "Europe/Berlin"), "Europe/Berlin", "us"),
    ],
    ids=str,
)
def test_dtypes_of_datetimes(dtype, timezone, resolution):
    assert {"timezone": timezone, "resolution": resolution} == read_datetime_dtype(dtype)


def test_dtypes_of_dates_and_other_values():
    others = [np.dtype("timedelta64[ns]"), np.dtype("float64"), polars.Int64(), pyarrow.int64()]

    for date in (polars.Date(), pyarrow.date32(), pyarrow.date64(), pandas.ArrowDtype(pyarrow.date32())):
        assert {} == read_datetime_dtype(date)
    assert [None] * 4 == list(map(read_datetime_dtype, others))
