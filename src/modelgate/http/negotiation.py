"""Which of several media types a caller would rather have (RFC 9110, section 12.5.1), and what else (RFC 7240)."""

import re
from collections.abc import Sequence

__all__ = ["preference", "preferred"]

_MOST = 64

# What stands between commas, but for those in a quoted string; one that is never closed ends with the field.
_PARTS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.?)*"?)+')


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The one of *offered* with the greatest weight, the first of equals.

    Where none is accepted it is the first: who asked is told more by an answer than by a 406.

    Args:
        accept: the value of the header field, of which no more than 64 ranges are read.
        offered: media types, lower case.
    """
    if not accept or accept == "*/*":
        return offered[0]
    weights: dict[str, float] = {}
    for given in accept.lower().split(",", _MOST)[:_MOST]:
        kind, *parameters = (part.strip() for part in given.split(";"))
        weights[kind] = next((_weight(told) for told in parameters if told.startswith("q=")), 1.0)
    return max(offered, key=lambda kind: _weight_of(kind, weights))


def _weight_of(kind: str, weights: dict[str, float]) -> float:
    """That of the range which says most of *kind*."""
    ranges = (kind, kind.partition("/")[0] + "/*", "*/*")
    return next((weights[given] for given in ranges if given in weights), 0.0)


def _weight(told: str) -> float:
    number = told[2:]
    return float(number) if number.replace(".", "", 1).isdecimal() and number.isascii() else 0.0


def preference(told: str, name: str) -> str | None:
    """What the field ``Prefer`` says of the preference *name* (lower case); None where it says nothing.

    RFC 7240, section 2: the first of a name counts, without a value it is empty.
    """
    for part in _PARTS.finditer(told):
        said, _, value = part[0].partition(";")[0].partition("=")
        if said.strip().lower() == name:
            return value.strip().strip('"')
    return None
