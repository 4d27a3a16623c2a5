"""Properties of traffic splits."""

import math

from hypothesis import given
from hypothesis import strategies as st

from modelgate import Rollout, Schema, drive
from modelgate.deployments.rollout import TrafficSplitter, hash_to_unit, pick_model
from modelgate.scoring import Query

MANY = 2_000
SCHEMA = Schema.of(x=float)
UNITS = st.text(min_size=1)
SHARES = (
    st.lists(st.floats(0, 1), min_size=1, max_size=4)
    .map(lambda shares: [100 * share / max(1.0, math.fsum(shares)) for share in shares])
    .filter(lambda shares: math.fsum(shares) <= 100)
)


def make_splitter(shares, name="churn"):
    models = {f"store:churn@{number}": share for number, share in enumerate(shares, 1)}
    return TrafficSplitter(Rollout(models, sticky_by="key"), name, SCHEMA)


def pick(choice, unit):
    return drive(choice.pick(Query(b"", caller=unit)))


@given(SHARES, UNITS)
def test_assignment_is_stable(shares, unit):
    """Also in another process, with another object."""
    assert pick(make_splitter(shares), unit) == pick(make_splitter(shares), unit)


@given(UNITS, st.floats(0, 100), st.floats(0, 100))
def test_growing_share_keeps_its_callers(unit, one, other):
    small, large = sorted([one, other])

    assert pick(make_splitter([small]), unit) <= pick(make_splitter([large]), unit)


@given(UNITS, st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_two_growing_shares_keep_their_callers(unit, shares):
    """Whichever of them grows."""
    smaller, larger = ([part(shares[start : start + 2]) for start in (0, 2)] for part in (min, max))
    before = pick(make_splitter(smaller), unit)

    assert before in (0, pick(make_splitter(larger), unit))


@given(st.permutations([("store:churn@4", 10), ("store:churn@5", 20), ("models/churn.mgpkg", 30)]), UNITS)
def test_assignment_does_not_depend_on_the_order_of_weights(items, unit):
    rollouts = [Rollout(dict(each), sticky_by="key") for each in (sorted(items), items)]
    as_sorted, written = (TrafficSplitter(rollout, "churn", SCHEMA) for rollout in rollouts)

    assert list(rollouts[0].weights.items()) == list(rollouts[1].weights.items())
    assert pick(as_sorted, unit) == pick(written, unit)


@given(SHARES)
def test_shares_match_the_weights(shares):
    """Within five standard deviations."""
    choice = make_splitter(shares, repr(shares)[:64])
    picked = [pick(choice, f"caller {index}") for index in range(MANY)]
    for index, share in enumerate(shares, 1):
        expected = MANY * share / 100

        assert abs(picked.count(index) - expected) <= 5 * math.sqrt(expected) + 5


@given(SHARES)
def test_shares_of_evenly_spread_positions_are_exact(shares):
    """To one position."""
    choice, seen = make_splitter(shares), [0] * (len(shares) + 1)
    for index in range(MANY):
        seen[pick_model(choice._edges, (index + 0.5) / MANY)] += 1
    own = max(0.0, 100 - math.fsum(shares))
    for count, share in zip(seen, [own, *shares], strict=True):
        assert abs(count - MANY * share / 100) <= 1


@given(UNITS)
def test_weights_of_0_and_100(unit):
    assert (0, 1) == (pick(make_splitter([0]), unit), pick(make_splitter([100]), unit))
    assert 2 == pick(make_splitter([0, 100]), unit)


@given(st.text(), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True))
def test_hash_to_unit_is_in_range(unit, name):
    """For any text, lone surrogates included."""
    assert 0 <= hash_to_unit(name, unit) < 1
