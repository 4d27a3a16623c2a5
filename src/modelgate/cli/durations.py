"""Parse durations and times from the command line, and format them."""

import re
from datetime import UTC, datetime, timedelta

import click

__all__ = ["format_age", "parse_duration", "parse_future_time", "parse_time"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Parse a number of seconds, minutes, hours, days or weeks: ``90s``, ``30m``, ``24h``, ``90d``, ``2w``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"must be a number followed by s, m, h, d or w, such as 90d (got {text!r})")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def parse_time(text: str) -> datetime:
    """Parse a time: a duration from now (``90d``), a date, or a date and time. The default time zone is UTC."""
    try:
        if _DURATION.fullmatch(text):
            return datetime.now(UTC) + parse_duration(text)
        moment = datetime.fromisoformat(text)
    except OverflowError:
        raise click.BadParameter(
            f"must be a duration such as 90d that ends before the year 10000 (got {text!r})"
        ) from None
    except ValueError:
        raise click.BadParameter(
            f"must be a duration such as 90d, or a date such as 2027-01-31 (got {text!r})"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def parse_future_time(text: str) -> datetime:
    """Parse a time in one of the formats of `parse_time`. Reject a time that is not in the future."""
    moment = parse_time(text)
    if moment <= datetime.now(UTC):
        raise click.BadParameter(f"must be in the future, such as 90d (got {text!r})")
    return moment


def format_age(when: datetime | None, now: datetime) -> str:
    """Format *when* relative to *now*: ``5 min ago``, ``in 3 d``, or ``-`` for None."""
    if when is None:
        return "-"
    seconds = abs((when - now).total_seconds())
    size, unit = next(
        ((size, unit) for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")) if seconds >= size),
        (1, "s"),
    )
    age = f"{round(seconds / size)} {unit}"
    return f"in {age}" if when > now else f"{age} ago"
