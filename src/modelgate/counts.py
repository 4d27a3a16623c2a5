"""The checks that options which count something, or are a time, share."""

import threading

from .errors import ConfigurationError

__all__ = ["require_count", "require_seconds"]


def require_count(option: str, value: object) -> None:
    """Raises `ConfigurationError` where *value*, given for *option*, is not a whole number from 1."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{option}={value!r}: accepts a whole number from 1")


def require_seconds(option: str, value: object) -> None:
    """Raises `ConfigurationError` where *value*, given for *option*, is no time that a thread can wait for."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value <= threading.TIMEOUT_MAX
    ):
        raise ConfigurationError(f"{option} must be a number of seconds above 0 (got {value!r})")
