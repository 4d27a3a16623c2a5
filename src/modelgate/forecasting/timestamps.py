"""Parse the ISO 8601 dates in requests, and format the dates in responses."""

import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..schema.datetimes import find_zone, parse_iso
from .calendar import Keys

__all__ = ["Moment", "format_like", "format_utc", "parse_moment"]

_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)
_DATE_LENGTH = len("2024-01-06")


class Moment(NamedTuple):
    """Date and time, in microseconds since 1970.

    Attributes:
        wall: Local time.
        utc: Time in UTC. It equals *wall* if there is neither a UTC offset nor a time zone.
    """

    wall: int
    utc: int


@lru_cache(maxsize=16384)
def parse_moment(text: str, zone: str | None) -> Moment | None:
    """Parse a date, or date and time, in ISO 8601.

    Return None if *text* has another form, or is a local time that does not exist because of a clock change.
    A date without a time stands for its midnight, or for its first moment if there is no midnight.

    Args:
        text: Text to parse.
        zone: Time zone of `Moment.wall`, and of a text without a UTC offset. If None, `Moment.wall` is the
            time in the text.
    """
    moment = parse_iso(text)
    if moment is None:
        return None
    try:
        if zone is not None:
            sent = moment
            moment = (
                moment.astimezone(find_zone(zone)) if sent.tzinfo else sent.replace(tzinfo=find_zone(zone))
            )
            existing = moment.astimezone(datetime.UTC).astimezone(moment.tzinfo)
            # A date exists even if the clocks skip its midnight, as in Chile and Egypt.
            if len(text) > _DATE_LENGTH and existing.replace(tzinfo=None) != moment.replace(tzinfo=None):
                return None  # the clocks skipped this time
        utc = moment.astimezone(datetime.UTC) if moment.tzinfo else moment
    except OverflowError:  # beyond the year 9999 in UTC
        return None
    return Moment(_to_microseconds(moment), _to_microseconds(utc))


def _to_microseconds(moment: datetime.datetime) -> int:
    return (moment.replace(tzinfo=None) - _EPOCH) // _MICROSECOND


def format_utc(keys: Keys, *, unit: str) -> list[str]:
    """Return dates in UTC as ISO 8601 texts with ``Z``.

    Args:
        keys: Microseconds since 1970, in UTC.
        unit: ``s`` for whole seconds, or ``us`` for microseconds.
    """
    return np.char.add(np.datetime_as_string(keys.astype("datetime64[us]"), unit=unit), "Z").tolist()  # type: ignore[no-any-return,call-overload]


@lru_cache(maxsize=16384)
def format_like(text: str, key: int, zone: str | None, *, local: bool) -> tuple[str, int]:
    """Return the date *key* in the form of *text*, and its time in UTC, in microseconds since 1970.

    If *text* has a UTC offset, the result has one, too: the same offset if *zone* is None, otherwise the
    offset of *zone* at the new date. If *text* ends in ``Z``, the result always ends in ``Z``.

    Args:
        text: Another date of the series. The result has the same parts: time, seconds, UTC offset.
        key: Date to format, in microseconds since 1970.
        zone: Time zone; see `parse_moment`.
        local: Whether *key* is a local time instead of UTC.

    Raises:
        OverflowError: The date is before the year 1 or after the year 9999.
    """
    other = parse_iso(text)
    assert other is not None
    zone_info = (other.tzinfo or datetime.UTC) if zone is None else find_zone(zone)
    moment = _EPOCH + key * _MICROSECOND
    moment = moment.replace(tzinfo=zone_info if local else datetime.UTC).astimezone(zone_info)
    utc = moment.astimezone(datetime.UTC)
    time, mark, offset = _split_offset(text[10:])
    if mark == "Z":
        moment = utc
    elif mark and zone is not None:
        local_offset = moment.isoformat(timespec="seconds")[19:]
        mark, offset = (
            local_offset[0],
            local_offset[1:] if ":" in offset else local_offset[1:].replace(":", ""),
        )
    written = moment.isoformat(timespec="microseconds")
    result = written[:10] + (time[:1] + written[11 : 10 + len(time)] if time else "") + mark + offset
    return result, _to_microseconds(utc)


def _split_offset(text: str) -> tuple[str, str, str]:
    """Split the time of an ISO 8601 text from its UTC offset."""
    for mark in "Z+-":
        if mark in text:
            return text.partition(mark)
    return text, "", ""
