"""Content negotiation (RFC 9110, section 12.5.1) and the ``Prefer`` field (RFC 7240)."""

import re
from collections.abc import Sequence

__all__ = ["best_media_type", "parse_prefer"]

_MAX_RANGES = 64

# Split at commas outside of quoted strings. An unclosed string extends to the end of the field.
_PARTS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.?)*"?)+')


def best_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type with the greatest weight, or the first of several with that weight.

    If no media type is acceptable, the first one is returned, because a response in another media type is
    more useful to the caller than a 406.

    Args:
        accept: Value of the ``Accept`` field. Ranges after the 64th are ignored.
        offered: Media types, lower case.
    """
    if not accept or accept == "*/*":
        return offered[0]
    weights: dict[str, float] = {}
    for item in accept.lower().split(",", _MAX_RANGES)[:_MAX_RANGES]:
        media_range, *parameters = (part.strip() for part in item.split(";"))
        quality = next((parameter for parameter in parameters if parameter.startswith("q=")), "q=1")
        weights[media_range] = _parse_weight(quality.removeprefix("q="))
    return max(offered, key=lambda media_type: _weight_of(media_type, weights))


def _weight_of(media_type: str, weights: dict[str, float]) -> float:
    """Return the weight of the most specific media range that matches *media_type*."""
    ranges = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    return next((weights[media_range] for media_range in ranges if media_range in weights), 0.0)


def _parse_weight(number: str) -> float:
    return float(number) if number.replace(".", "", 1).isdecimal() and number.isascii() else 0.0


def parse_prefer(field: str, name: str) -> str | None:
    """Return the value of a preference in a ``Prefer`` field, or None if the field does not contain it.

    If the name occurs several times, the first one counts. A preference without a value is returned as an
    empty string (RFC 7240, section 2).

    Args:
        field: Value of the ``Prefer`` field.
        name: Name of the preference, lower case.
    """
    for part in _PARTS.finditer(field):
        preference, _, value = part[0].partition(";")[0].partition("=")
        if preference.strip().lower() == name:
            return value.strip().strip('"')
    return None
