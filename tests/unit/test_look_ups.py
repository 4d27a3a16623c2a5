"""Bounds on requests whose key is not accepted yet."""

import pytest

from modelgate.errors import Overloaded
from modelgate.layers.look_ups import Slots, Turns


def begun(turns):
    """Those of *turns* whose look-up may begin, by their places."""
    return [at for at, turn in enumerate(turns) if turn.done() and turn.result()]


def test_slots_are_bounded_in_total_and_for_each_address():
    """A slot that is left is free for any address."""
    slots = Slots(3, 2)
    for address in "aab":
        slots.enter(address)
    for address in "abc":
        with pytest.raises(Overloaded):
            slots.enter(address)
    slots.leave("b")
    with pytest.raises(Overloaded):
        slots.enter("a")
    slots.enter("c")

    assert {"a": 2, "c": 1} == slots._taken


def test_addresses_take_turns():
    """Of one address half of the look-ups are under way at most, and the next turn is another's."""
    turns = Turns(4, 100)
    taken = [turns.queue(address, None) for address in "aaaaabbbc"]

    assert [0, 1, 5, 6] == begun(taken)
    turns.leave(taken[0])
    assert [0, 1, 2, 5, 6] == begun(taken)
    turns.leave(taken[5])
    assert [0, 1, 2, 5, 6, 7] == begun(taken)
    turns.leave(taken[1])
    assert [0, 1, 2, 5, 6, 7, 8] == begun(taken)
    for turn in taken:
        turns.leave(turn)
    assert ({}, {}, 0) == (turns._under_way, dict(turns._waiting), turns._slots._total)


def test_no_more_are_under_way_than_failures_are_left():
    """The others wait, and are rejected when none is left and nothing is under way."""
    left, turns = [2], Turns(16, 100)
    taken = [turns.queue("a", lambda: left[0]) for _ in range(5)]

    assert [0, 1] == begun(taken)
    # The first one succeeds.
    turns.leave(taken[0])
    assert [0, 1, 2] == begun(taken)
    left[0] = 1
    turns.leave(taken[1])
    assert [0, 1, 2] == begun(taken)
    left[0] = 0
    turns.leave(taken[2])
    assert [False, False] == [turn.result(0) for turn in taken[3:]]


def test_look_ups_that_wait_are_bounded():
    """Of one address half of them may be there."""
    turns = Turns(2, 4)
    for address in "aa":
        turns.queue(address, None)
    with pytest.raises(Overloaded):
        turns.queue("a", None)
    for address in "bc":
        turns.queue(address, None)
    with pytest.raises(Overloaded):
        turns.queue("d", None)


def test_a_turn_that_is_given_up_is_left_out():
    """And one of a parent process is none of a child's."""
    turns, other = Turns(2, 9), Turns(2, 9)
    taken = [turns.queue("a", None) for _ in range(3)]
    turns.leave(taken[1])
    parents = [other.queue("a", None) for _ in range(2)]
    other._renew()
    other._slots._renew()
    for turn in parents:
        other.leave(turn)

    assert [0] == begun(taken)[:1]
    assert {"a": 1} == turns._under_way
    assert ({}, 0) == (other._under_way, other._slots._total)
