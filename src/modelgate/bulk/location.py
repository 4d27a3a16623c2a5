"""Paths and URLs of the input and the output of a scoring run."""

import os.path
import re
from pathlib import Path

__all__ = ["exists", "hide_password", "is_database", "is_url", "local_file"]


def is_url(path: str | Path) -> bool:
    """Return whether *path* is a URL, rather than a local path."""
    return isinstance(path, str) and "://" in path


def is_database(path: str | Path) -> bool:
    """Return whether *path* is the URL of a database."""
    return isinstance(path, str) and re.match(r"(sqlite|postgres(ql)?)(\+\w+)?://", path) is not None


def local_file(path: str | Path) -> Path | None:
    """Return *path* as a local path, or None if it is a URL that does not name an existing local file."""
    if not is_url(path):
        return Path(path)
    scheme, _, rest = str(path).partition("://")
    named = Path(rest.removeprefix("/") if scheme == "sqlite" else rest)
    return named if scheme in ("file", "local", "sqlite") and exists(named) else None


def exists(path: Path) -> bool:
    """Return whether there is a file at *path*. If the system rejects the path, return False."""
    return os.path.exists(path)  # noqa: PTH110  `Path.exists` raises an error for a name that is too long


def hide_password(path: str | Path) -> str:
    """Return *path* as text. A URL loses its user name and password, a database URL also its query string."""
    if is_database(path):
        # The password may contain any character, even @, / or ?.
        return re.sub("://.*@", "://", str(path)).partition("?")[0]
    return re.sub(r"^([\w+.-]+://)[^/@]*@", r"\1", str(path)) if is_url(path) else str(path)
