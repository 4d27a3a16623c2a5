"""Suggestions for misspelled names."""

import difflib
from collections.abc import Iterable
from itertools import islice

__all__ = ["SHOWN_TEXT", "closest_match"]

SHOWN_TEXT = 60
"""Maximum length of a text in an error response."""

_MAX_COMPARED = 100


def closest_match(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most similar to *name*, or None if none is similar. Case does not matter.

    Names longer than `SHOWN_TEXT`, and candidates after the first 100, are skipped: comparing takes time.
    """
    if len(name) > SHOWN_TEXT:
        return None
    compared = islice((candidate for candidate in candidates if len(candidate) <= SHOWN_TEXT), _MAX_COMPARED)
    by_lower = {candidate.lower(): candidate for candidate in compared}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[matches[0]] if matches else None
