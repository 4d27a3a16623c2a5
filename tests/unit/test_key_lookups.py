"""Limits for requests whose key has not been accepted yet."""

import pytest

from modelgate.errors import Overloaded
from modelgate.layers._key_lookups import AddressSlots, LookupQueue


def find_started(turns):
    """Return the indices of the turns whose look-up may start."""
    return [index for index, turn in enumerate(turns) if turn.done() and turn.result()]


def test_slots_are_limited_in_total_and_per_address():
    """A freed slot can be used by any address."""
    slots = AddressSlots(3, 2)
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


def test_queue_rotates_addresses():
    """One address has at most half of the running look-ups, and the next turn goes to another address."""
    queue = LookupQueue(4, 100)
    turns = [queue.queue(address, None) for address in "aaaaabbbc"]

    assert [0, 1, 5, 6] == find_started(turns)
    queue.leave(turns[0])
    assert [0, 1, 2, 5, 6] == find_started(turns)
    queue.leave(turns[5])
    assert [0, 1, 2, 5, 6, 7] == find_started(turns)
    queue.leave(turns[1])
    assert [0, 1, 2, 5, 6, 7, 8] == find_started(turns)
    for turn in turns:
        queue.leave(turn)
    assert ({}, {}, 0) == (queue._running, dict(queue._waiting), queue._slots._total)


def test_queue_starts_no_more_look_ups_than_remaining_failures():
    """The others wait, and are rejected when no failure remains and no look-up is running."""
    remaining, queue = [2], LookupQueue(16, 100)
    turns = [queue.queue("a", lambda: remaining[0]) for _ in range(5)]

    assert [0, 1] == find_started(turns)
    # The first look-up succeeds, the next two fail.
    queue.leave(turns[0])
    assert [0, 1, 2] == find_started(turns)
    remaining[0] = 1
    queue.leave(turns[1])
    assert [0, 1, 2] == find_started(turns)
    remaining[0] = 0
    queue.leave(turns[2])
    assert [False, False] == [turn.result(0) for turn in turns[3:]]


def test_queue_limits_waiting_look_ups():
    """One address may have at most half of them."""
    queue = LookupQueue(2, 4)
    for address in "aa":
        queue.queue(address, None)
    with pytest.raises(Overloaded):
        queue.queue("a", None)
    for address in "bc":
        queue.queue(address, None)
    with pytest.raises(Overloaded):
        queue.queue("d", None)


def test_queue_removes_abandoned_turns():
    """Turns of a parent process do not change the counts of a child."""
    queue, forked = LookupQueue(2, 9), LookupQueue(2, 9)
    turns = [queue.queue("a", None) for _ in range(3)]
    queue.leave(turns[1])
    parent_turns = [forked.queue("a", None) for _ in range(2)]
    forked._reset()
    forked._slots._reset()
    for turn in parent_turns:
        forked.leave(turn)

    assert [0] == find_started(turns)[:1]
    assert {"a": 1} == queue._running
    assert ({}, 0) == (forked._running, forked._slots._total)
