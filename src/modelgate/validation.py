"""Validate options that are counts or durations."""

import threading

from .errors import ConfigurationError

__all__ = ["require_positive_int", "require_positive_seconds"]


def require_positive_int(option: str, value: object) -> None:
    """Raise `ConfigurationError` unless *value* is an int of at least 1.

    Args:
        option: Name of the option, for the message.
        value: Value of the option.
    """
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{option} must be a whole number of at least 1 (got {value!r})")


def require_positive_seconds(option: str, value: object) -> None:
    """Raise `ConfigurationError` unless *value* is a number of seconds above 0.

    Numbers above `threading.TIMEOUT_MAX` are rejected, because a thread cannot wait that long.

    Args:
        option: Name of the option, for the message.
        value: Value of the option.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value <= threading.TIMEOUT_MAX
    ):
        raise ConfigurationError(f"{option} must be a number of seconds above 0 (got {value!r})")
