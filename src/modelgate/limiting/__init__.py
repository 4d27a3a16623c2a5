"""Rate limiting: the arithmetic of rate limit windows, and limiters that store the counts."""

from .decision import RateLimitDecision
from .limiter import Limiter, check_rate, create_limiter
from .memory import MemoryLimiter
from .windows import Rate, parse_windows

__all__ = [
    "Limiter",
    "MemoryLimiter",
    "Rate",
    "RateLimitDecision",
    "check_rate",
    "create_limiter",
    "parse_windows",
]
