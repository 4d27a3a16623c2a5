"""Split conformal prediction, from which prediction intervals get their width."""

import math
from fractions import Fraction
from functools import lru_cache

__all__ = ["conformal_rank"]


@lru_cache
def conformal_rank(level: float, count: int) -> int:
    """Return the rank of the error that is half the width of an interval: ``ceil((count + 1) * level / 100)``.

    If errors are exchangeable, the interval contains at least *level* percent of the values. If the rank is
    greater than *count*, there are too few errors for the level.

    The result is exact for the decimal digits of *level*. With floats, 0.07 * 100 is greater than 7.

    Args:
        level: Level in percent. For a level that is not finite, the result is 0.
        count: Number of errors. The smallest has the rank 1.
    """
    return math.ceil((count + 1) * Fraction(repr(float(level))) / 100) if math.isfinite(level) else 0
