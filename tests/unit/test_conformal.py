import math

import numpy as np
import pytest

from modelgate.conformal import conformal_rank


@pytest.mark.parametrize(
    ("level", "count", "rank"),
    [
        (80, 9, 8),
        (95, 9, 10),  # too few errors
        (16.1, 999, 161),  # with floats, 1000 * 16.1 / 100 is greater than 161
        (np.float64(16.1), 999, 161),
        (1e-9, 9, 1),
        (math.inf, 9, 0),
        (math.nan, 9, 0),
    ],
)
def test_rank_is_exact_for_the_digits_of_the_level(level, count, rank):
    assert conformal_rank(level, count) == rank
