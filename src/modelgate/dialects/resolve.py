"""Resolve names of dialects."""

from collections.abc import Sequence

from ..errors import ConfigurationError
from . import DIALECTS, Dialect
from .key_header import with_key_header

__all__ = ["resolve_dialects"]


def resolve_dialects(
    dialects: Sequence[str | Dialect] | None, key_header: str | None = None
) -> dict[str, Dialect]:
    """Return the selected dialects by name, or all dialects if *dialects* is None.

    Args:
        dialects: See `Gate`.
        key_header: Header field that contains the key; None for the places that each dialect defines.

    Raises:
        ConfigurationError: A dialect is unknown or listed twice, or the list is empty.
    """
    if dialects is None:
        items: list[str | Dialect] = list(DIALECTS)
    else:
        items = [dialects] if isinstance(dialects, str) else list(dialects)
    by_name: dict[str, Dialect] = {}
    for item in items:
        dialect = DIALECTS[item]() if isinstance(item, str) and item in DIALECTS else item
        missing = [] if isinstance(dialect, str | type) else _missing_members(dialect)
        if missing:
            raise ConfigurationError(
                f"dialects must have all members of Dialect (got {type(dialect).__name__} without"
                f" {', '.join(missing)})"
            )
        if isinstance(dialect, str | type) or dialect.name in by_name:
            raise ConfigurationError(
                f"dialects must be Dialect objects or names, without duplicates (got {dialects!r}):"
                f" the names are {', '.join(DIALECTS)}"
            )
        by_name[dialect.name] = dialect if key_header is None else with_key_header(dialect, key_header)
    if not by_name:
        raise ConfigurationError(f"dialects must contain at least one dialect (got {dialects!r})")
    return by_name


def _missing_members(dialect: object) -> list[str]:
    """Return the members of `Dialect` that *dialect* lacks."""
    members = ("name", "max_body", "routes", "credentials", "decode", "encode", "encode_error")
    return [name for name in members if not hasattr(dialect, name)]
