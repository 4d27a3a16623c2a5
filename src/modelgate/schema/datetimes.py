"""Parse and convert dates and times: ISO 8601 texts, time zones, and datetimes of pandas, polars and numpy."""

import datetime
import re
import zoneinfo
from typing import Any, Literal, TypeAlias

import numpy as np

__all__ = [
    "Resolution",
    "find_zone",
    "parse_datetime",
    "parse_iso",
    "read_datetime_dtype",
    "to_python_datetimes",
]

Resolution: TypeAlias = Literal["s", "ms", "us", "ns"]

# The forms of ISO 8601 and RFC 3339 that pandas, databases and JavaScript write. fromisoformat() accepts
# more, such as week dates, and differs between versions of Python.
_ISO_8601 = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ](?:[01]\d|2[0-3]):\d\d(?::\d\d(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_FIXED_OFFSET = re.compile(r"UTC(?:([+-]\d\d):(\d\d))?", re.ASCII)

_NS_YEARS = range(1678, 2262)
"""Years that datetime64[ns] can represent from the first to the last nanosecond."""


def parse_iso(text: str) -> datetime.datetime | None:
    """Parse a date, or date and time, in ISO 8601. Return None if *text* has another form."""
    if _ISO_8601.fullmatch(text) is None:
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:  # no such day
        return None


def parse_datetime(text: str, *, with_offset: bool, resolution: Resolution | None) -> np.datetime64 | None:
    """Parse a date, or date and time, in ISO 8601. Return None if *text* has another form or is out of range.

    Digits beyond the resolution are dropped.

    Args:
        text: Text to parse.
        with_offset: Whether *text* must have a UTC offset. If True, the result is in UTC. If False, only an
            offset of zero is allowed.
        resolution: Resolution of the result; None for microseconds. With None or ``ns``, years outside 1678
            to 2261 are rejected, because their nanoseconds do not fit into 64 bits.
    """
    match = _ISO_8601.fullmatch(text)
    if match is None:
        return None
    fraction, offset = match.groups()
    try:
        moment = datetime.datetime.fromisoformat(text)
        if with_offset:
            moment = moment.astimezone(datetime.UTC) if offset else None  # type: ignore[assignment]
        elif offset and moment.utcoffset():
            return None
    except (ValueError, OverflowError):  # no such day, or beyond the year 9999 in UTC
        return None
    if moment is None or (resolution in (None, "ns") and moment.year not in _NS_YEARS):
        return None
    microseconds = np.datetime64(moment.replace(tzinfo=None), "us")
    value: np.datetime64 = microseconds.astype(f"datetime64[{resolution or 'us'}]")
    if resolution == "ns":
        value = value + np.timedelta64(int((fraction or "").ljust(9, "0")[6:]), "ns")
    return value


def find_zone(name: str) -> datetime.tzinfo:
    """Return the time zone *name*, such as ``Europe/Berlin``, ``UTC`` or ``UTC+01:00``.

    Raises:
        ValueError: There is no such time zone, or the operating system lacks its data.
    """
    match = _FIXED_OFFSET.fullmatch(name)
    try:
        if match is None:
            return zoneinfo.ZoneInfo(name)
        hours, minutes = match.groups()
        sign = -1 if (hours or "").startswith("-") else 1
        offset = datetime.timedelta(hours=int(hours or 0), minutes=sign * int(minutes or 0))
        return datetime.timezone(offset) if offset else datetime.UTC
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"no time zone is called {name!r}") from error


def to_python_datetimes(values: Any, timezone: str | None) -> list[datetime.datetime | None]:
    """Convert datetime64 *values* to Python datetimes, in *timezone* unless it is None.

    Digits beyond microseconds are dropped. NaT becomes None.
    """
    moments: list[datetime.datetime | None] = values.astype("datetime64[us]").tolist()
    if timezone is None:
        return moments
    zone = find_zone(timezone)
    return [moment and moment.replace(tzinfo=datetime.UTC).astimezone(zone) for moment in moments]


def read_datetime_dtype(dtype: Any) -> dict[str, Any] | None:
    """Return the time zone and the resolution of *dtype* as options of a `Column`.

    Returns None if *dtype* is not a dtype of dates or datetimes.

    Args:
        dtype: Dtype of numpy, pandas, polars or pandera.
    """
    dtype = getattr(dtype, "pyarrow_dtype", dtype)
    if not hasattr(dtype, "kind"):
        dtype = getattr(dtype, "type", dtype)  # pandera wraps the dtypes of pandas and polars
    kind, name = getattr(dtype, "kind", None), type(dtype).__name__
    if kind == "M":
        unit = getattr(dtype, "unit", None) or np.datetime_data(dtype)[0]
        # A resolution of days or hours becomes seconds in pandas, too.
        resolution = unit if unit in ("ms", "us", "ns") else "s"
        zone = getattr(dtype, "tz", None)
    elif name in ("Datetime", "TimestampType"):
        resolution = getattr(dtype, "time_unit", None) or getattr(dtype, "unit", None)
        zone = getattr(dtype, "time_zone", None) or getattr(dtype, "tz", None)
    else:
        return {} if name == "Date" or str(dtype) in ("date32[day]", "date64[ms]") else None
    return {"timezone": None if zone is None else str(zone), "resolution": resolution}
