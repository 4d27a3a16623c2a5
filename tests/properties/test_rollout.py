"""The laws of a rollout."""

import math

from hypothesis import given
from hypothesis import strategies as st

from modelgate import Rollout, drive
from modelgate.scoring import Query
from modelgate.scoring.rollout import Choice, choose, place_of

MANY = 2_000
UNITS = st.text(min_size=1)
SHARES = (
    st.lists(st.floats(0, 1), min_size=1, max_size=4)
    .map(lambda shares: [100 * share / max(1.0, math.fsum(shares)) for share in shares])
    .filter(lambda shares: math.fsum(shares) <= 100)
)


def choice_of(shares, name="churn"):
    models = {f"store:churn@{at}": share for at, share in enumerate(shares, 1)}
    return Choice(Rollout(models, by="key"), name)


def pick(choice, unit):
    return drive(choice.pick(Query(b"", caller=unit)))


@given(SHARES, UNITS)
def test_who_asks_again_is_answered_by_the_same(shares, unit):
    """Also by another process, which has an object of its own."""
    assert pick(choice_of(shares), unit) == pick(choice_of(shares), unit)


@given(UNITS, st.floats(0, 100), st.floats(0, 100))
def test_a_share_that_grows_keeps_who_is_in_it(unit, one, other):
    """Nobody goes back while a canary grows."""
    small, large = sorted([one, other])

    assert pick(choice_of([small]), unit) <= pick(choice_of([large]), unit)


@given(UNITS, st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_two_shares_that_grow_keep_who_is_in_them(unit, shares):
    """Whichever of them does, and both."""
    smaller, larger = ([part(shares[at : at + 2]) for at in (0, 2)] for part in (min, max))
    before = pick(choice_of(smaller), unit)

    assert before in (0, pick(choice_of(larger), unit))


@given(st.permutations([("store:churn@4", 10), ("store:churn@5", 20), ("models/churn.mgpkg", 30)]), UNITS)
def test_the_order_in_which_shares_are_written_counts_for_nothing(items, unit):
    """Nor does that in which a database keeps them."""
    as_sorted, written = (Rollout(dict(each), by="key") for each in (sorted(items), items))

    assert list(as_sorted.percents.items()) == list(written.percents.items())
    assert pick(Choice(as_sorted, "churn"), unit) == pick(Choice(written, "churn"), unit)


@given(SHARES)
def test_shares_are_those_that_were_asked(shares):
    """As near as chance lets them be: five standard deviations of so many."""
    choice = choice_of(shares, repr(shares)[:64])
    picked = [pick(choice, f"caller {at}") for at in range(MANY)]
    for at, share in enumerate(shares, 1):
        expected = MANY * share / 100

        assert abs(picked.count(at) - expected) <= 5 * math.sqrt(expected) + 5


@given(SHARES)
def test_shares_are_exact_in_the_limit(shares):
    """Places that are evenly spread fall to each model as often as it was asked, to one place."""
    choice, seen = choice_of(shares), [0] * (len(shares) + 1)
    for at in range(MANY):
        seen[choose(choice._edges, (at + 0.5) / MANY)] += 1
    own = max(0.0, 100 - math.fsum(shares))
    for count, share in zip(seen, [own, *shares], strict=True):
        assert abs(count - MANY * share / 100) <= 1


@given(UNITS)
def test_none_and_all(unit):
    """Mean what they say, for everyone."""
    assert (0, 1) == (pick(choice_of([0]), unit), pick(choice_of([100]), unit))
    assert 2 == pick(choice_of([0, 100]), unit)


@given(st.text(), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True))
def test_a_place_is_from_0_to_below_1(unit, name):
    """Whatever the text, lone surrogates too."""
    assert 0 <= place_of(name, unit) < 1
