"""Versions of models: what a name means, and which version is newer."""

import re
from collections.abc import Iterable

__all__ = ["LATEST", "is_older", "is_version", "meant"]

LATEST = "latest"

# What begins with a number: "production" is an alias, and not newer than anything.
_VERSION = re.compile(r"v?[0-9][^@]*")
_PEP440 = re.compile(
    r"v?[0-9]+([._-][0-9]+)*"
    r"([._-]?(a|alpha|b|beta|c|rc|pre|preview)[._-]?[0-9]*)?"
    r"([._-]?(post|rev|r)[._-]?[0-9]*)?"
    r"([._-]?dev[._-]?[0-9]*)?",
    re.IGNORECASE,
)
_PARTS = re.compile(r"[0-9]+|[a-z]+")

# Those of PEP 440; any other word is a pre-release too, as in semantic versioning.
_WORDS = {"dev": "", "alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_AFTER = {"post", "rev", "r"}
_BEFORE_END, _END, _AFTER_END, _NUMBER = range(4)


def is_version(name: str) -> bool:
    """Whether the file *name* is that of a version, which never changes."""
    stem, _, version = name.partition("@")
    return bool(stem) and _VERSION.fullmatch(version) is not None


def meant(name: str, names: Iterable[str]) -> str | None:
    """Which of the *names* there are *name* means: itself, or the newest version."""
    names = set(names)
    stem, _, version = name.partition("@")
    if name in names or version not in ("", LATEST):
        return name if name in names else None
    versions = [told for told in names if told.partition("@")[0] == stem and is_version(told)]
    return max(versions, key=lambda told: (_rank(told.partition("@")[2]), told), default=None)


def is_older(version: str, other: str) -> bool:
    """Whether *version* is older than *other*; of what is none of PEP 440 nobody can tell."""
    known = all(_PEP440.fullmatch(told) for told in (version, other))
    return known and _rank(version) < _rank(other)


def _rank(version: str) -> list[tuple[int, int, str]]:
    """What orders versions: 1.9 < 1.10.dev1 < 1.10rc1 < 1.10 = 1.10.0 < 1.10.post1 < 1.10.1."""
    told: list[tuple[int, int, str]] = []
    for part in [*_PARTS.findall(version.lower().removeprefix("v")), ""]:
        if part.isdigit():
            told.append((_NUMBER, int(part), ""))
            continue
        while told and told[-1] == (_NUMBER, 0, ""):
            told.pop()
        end = _END if not part else _AFTER_END if part in _AFTER else _BEFORE_END
        told.append((end, 0, _WORDS.get(part, part)))
    return told
