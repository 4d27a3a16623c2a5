"""Times, as people write them on a command line."""

import re
from datetime import UTC, datetime, timedelta

import click

__all__ = ["ago", "coming", "moment", "span"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")


def span(text: str) -> timedelta:
    """``90d``, ``24h``, ``30m``: a number of seconds, minutes, hours, days or weeks."""
    told = _SPAN.fullmatch(text)
    if told is None:
        raise click.BadParameter(f"{text!r}: accepts a number and s, m, h, d or w, as 90d")
    return timedelta(seconds=int(told[1]) * _SECONDS[told[2]])


def moment(text: str) -> datetime:
    """``90d`` for so long from now, or a date, or a date and time; of UTC where no zone is told."""
    try:
        if _SPAN.fullmatch(text):
            return datetime.now(UTC) + span(text)
        told = datetime.fromisoformat(text)
    except OverflowError:
        raise click.BadParameter(f"{text!r}: accepts what is before the year 10000, as 90d") from None
    except ValueError:
        raise click.BadParameter(f"{text!r}: accepts a span as 90d, or a date as 2027-01-31") from None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)


def coming(text: str) -> datetime:
    """As `moment`, and none that has passed: what ends there would never begin."""
    told = moment(text)
    if told <= datetime.now(UTC):
        raise click.BadParameter(f"{text!r}: has passed: accepts what is to come, as 90d")
    return told


def ago(when: datetime | None, now: datetime) -> str:
    """The moment *when* as people say it: ``5 min ago``, ``in 3 d``, ``-`` for never."""
    if when is None:
        return "-"
    seconds = abs((when - now).total_seconds())
    size, unit = next(
        ((size, unit) for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")) if seconds >= size),
        (1, "s"),
    )
    told = f"{round(seconds / size)} {unit}"
    return f"in {told}" if when > now else f"{told} ago"
