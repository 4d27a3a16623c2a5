"""How a rate is written: ``"60/minute; 10000/day"``."""

import limits

from .errors import ConfigurationError

__all__ = ["parse_rate"]


def parse_rate(rate: str, *, option: str = "rate") -> list[limits.RateLimitItem]:
    """The windows of ``"60/minute; 10000/day"``, as the library `limits` writes them.

    Raises:
        ConfigurationError: it cannot be read, or lets nobody pass.
    """
    try:
        windows = limits.parse_many(rate)
    except (ValueError, TypeError):
        windows = []
    if not windows or any(window.amount < 1 for window in windows):
        raise ConfigurationError(
            f'{option}={rate!r}: accepts one window or more, for example "60/minute; 10000/day"'
        )
    return windows
