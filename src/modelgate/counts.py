"""The check that options which count something share."""

from .errors import ConfigurationError

__all__ = ["require_count"]


def require_count(option: str, value: object) -> None:
    """Raises `ConfigurationError` where *value*, given for *option*, is not a whole number from 1."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{option}={value!r}: accepts a whole number from 1")
