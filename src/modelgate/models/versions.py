"""Resolve model names to versions, and compare versions."""

import re
from collections.abc import Iterable

from packaging.version import InvalidVersion, Version

__all__ = ["LATEST", "is_older", "is_version", "resolve_version"]

LATEST = "latest"

# A version begins with a number. Other words, such as "production", are aliases, which have no order.
_VERSION = re.compile(r"v?[0-9][^@]*")
_FIRST_AND_LAST_NUMBER = re.compile(r"(v?[0-9]+(?:[._-][0-9]+)*)[^@]*?([0-9]*)\Z")
_BETWEEN_NUMBERS = re.compile(r"(?<=[0-9])[_-](?=[0-9])")


def is_version(name: str) -> bool:
    """Return whether *name* refers to a fixed version, such as ``churn@7``."""
    stem, _, version = name.partition("@")
    return bool(stem) and _VERSION.fullmatch(version) is not None


def resolve_version(name: str, names: Iterable[str]) -> str | None:
    """Return the item of *names* that *name* refers to, or None if there is no such item.

    If *names* contains *name* itself, it is returned. Otherwise, ``churn`` and ``churn@latest`` refer to the
    newest version of ``churn``.
    """
    names = set(names)
    stem, _, version = name.partition("@")
    if name in names or version not in ("", LATEST):
        return name if name in names else None
    versions = [other for other in names if other.partition("@")[0] == stem and is_version(other)]
    return max(versions, key=lambda other: (_sort_key(other.partition("@")[2]), other), default=None)


def is_older(version: str, other: str) -> bool:
    """Return whether *version* is older than *other*. Return False if PEP 440 does not order the two."""
    try:
        return _parse(version) < _parse(other)
    except InvalidVersion:
        return False


def _parse(version: str) -> Version:
    # Replace "-" and "_" by dots: PEP 440 rejects 2024-05-01, and reads 1.0-1 as a post-release.
    return Version(_BETWEEN_NUMBERS.sub(".", version))


def _sort_key(version: str) -> Version:
    """Return a sort key for *version*.

    A version with a word that is unknown to PEP 440, such as ``2-nightly``, counts as a pre-release.
    """
    try:
        return _parse(version)
    except InvalidVersion:
        return _parse(_FIRST_AND_LAST_NUMBER.sub(r"\1.dev\2", version))
