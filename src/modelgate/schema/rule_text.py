"""Describe the rules of columns as text for callers."""

from collections.abc import Sequence

__all__ = ["datetime_rule", "kind_rule", "levels_rule"]

_SHOWN_LEVELS = 20
_KIND_NAMES = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "text": "text",
    "any": "a single value",
    "image": "an image as base64 text or a data URL",
}


def levels_rule(levels: Sequence[object]) -> str:
    """Return the rule of a column with *levels*: ``must be one of free, pro``."""
    shown = ", ".join(
        str(level).lower() if isinstance(level, bool) else str(level) for level in levels[:_SHOWN_LEVELS]
    )
    more = len(levels) - _SHOWN_LEVELS
    return f"must be one of {shown}" + (f" and {more} more" if more > 0 else "")


def datetime_rule(timezone: str | None, resolution: str | None) -> str:
    """Return the rule of a datetime column, with an example."""
    years = ", from 1678 to 2261" if resolution in (None, "ns") else ""
    if timezone is None:
        return f"must be a date and time without UTC offset, such as 2024-01-06T10:00:00{years}"
    return f"must be a date and time with UTC offset, such as 2024-01-06T10:00:00+01:00{years}"


def kind_rule(
    kind: str, minimum: float | None, maximum: float | None, max_length: int | None, pattern: str | None
) -> str:
    """Return the rule of a column with neither levels nor datetimes: ``must be a number of at least 0``."""
    rule = f"must be {_KIND_NAMES[kind]}"
    if minimum is not None and maximum is not None:
        rule += f" between {minimum} and {maximum}"
    elif minimum is not None:
        rule += f" of at least {minimum}"
    elif maximum is not None:
        rule += f" of at most {maximum}"
    if max_length is not None:
        rule += f" of at most {max_length} characters"
    return rule + (f" that matches {pattern}" if pattern is not None else "")
