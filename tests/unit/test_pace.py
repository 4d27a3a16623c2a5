"""How long a model takes."""

from hypothesis import given
from hypothesis import strategies as st

from modelgate.scoring.pace import LIGHT, LIGHT_ROWS, Pace

SIZES = st.integers(1, LIGHT_ROWS)


@given(
    once=st.floats(0, LIGHT * 2),
    row=st.floats(0, LIGHT * 2),
    seen=st.lists(SIZES, min_size=1, max_size=60),
    rows=SIZES,
)
def test_what_is_light_takes_less_than_the_limit(once, row, seen, rows):
    """Whatever calls were seen, of a model that takes its time for a call and for each row."""
    pace = Pace()
    for size in seen:
        pace.note(once + row * size, size)

    assert not pace.is_light(rows) or once + row * rows <= LIGHT * (1 + 1e-9)


def test_one_row_tells_little_of_many_until_more_were_seen():
    """A larger call tells better what a row takes, until it is forgotten."""
    pace = Pace()
    pace.note(LIGHT / 2, 1)
    one = pace.is_light(1), pace.is_light(3)
    pace.note(LIGHT / 2, 64)
    many = pace.is_light(100)
    for _ in range(500):
        pace.note(LIGHT / 2, 1)

    assert ((True, False), True, False) == (one, many, pace.is_light(100))
