"""Counting against rates: the arithmetic, and where the counts are kept."""

from .limiter import Limiter, limiter
from .memory import MemoryLimiter
from .verdict import Verdict
from .windows import Rate, parse_windows

__all__ = ["Limiter", "MemoryLimiter", "Rate", "Verdict", "limiter", "parse_windows"]
