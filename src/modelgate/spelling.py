"""Suggest corrections for misspelled names."""

import difflib
from collections.abc import Iterable
from functools import wraps
from itertools import islice
from typing import Any, TypeVar

__all__ = ["SHOWN_TEXT", "closest_match", "suggest_options"]

C = TypeVar("C", bound=type)

SHOWN_TEXT = 60
"""Maximum length of a text in an error response."""

_MAX_COMPARED = 100


def closest_match(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most similar to *name*, or None if no candidate is similar. Case does not matter.

    Names and candidates longer than `SHOWN_TEXT`, and candidates after the first 100, are not compared,
    because comparing takes time.
    """
    if len(name) > SHOWN_TEXT:
        return None
    compared = islice((candidate for candidate in candidates if len(candidate) <= SHOWN_TEXT), _MAX_COMPARED)
    by_lower = {candidate.lower(): candidate for candidate in compared}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[matches[0]] if matches else None


def suggest_options(cls: C) -> C:
    """Make the constructor of *cls* suggest a similar name in the `TypeError` for an unknown option."""
    initialize: Any = cls.__init__  # type: ignore[misc]
    code = initialize.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(initialize)
    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807
        for name in options:
            if name not in known:
                match = closest_match(name, known)
                hint = f": did you mean {match}?" if match is not None else ""
                raise TypeError(f"{cls.__name__} has no option {name!r}{hint}")
        initialize(self, *args, **options)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls
