"""Limits for requests whose key has not been accepted yet."""

import pytest

from modelgate.errors import Overloaded
from modelgate.layers._key_lookups import AddressSlots, LookupQueue, LookupTurn


def join(queue, address, remaining_failures=None):
    turn = LookupTurn(address, remaining_failures)
    queue.join(turn)
    return turn


def find_started(turns):
    """Return the indices of the turns whose look-up may start."""
    return [index for index, turn in enumerate(turns) if turn.done() and turn.result()]


def test_slots_are_limited_in_total_and_per_address():
    """A freed slot can be used by any address."""
    slots = AddressSlots(3, 2)
    for owner, address in enumerate("aab"):
        slots.enter(owner, address)
    for address in "abc":
        with pytest.raises(Overloaded):
            slots.enter(3, address)
    for _ in range(2):
        slots.leave(2)
    with pytest.raises(Overloaded):
        slots.enter(3, "a")
    slots.enter(4, "c")

    assert {0: "a", 1: "a", 4: "c"} == slots._taken


def test_queue_rotates_addresses():
    """One address has at most half of the running look-ups, and the next turn goes to another address."""
    queue = LookupQueue(4, 100)
    turns = [join(queue, address) for address in "aaaaabbbc"]

    assert [0, 1, 5, 6] == find_started(turns)
    queue.leave(turns[0])
    assert [0, 1, 2, 5, 6] == find_started(turns)
    queue.leave(turns[5])
    assert [0, 1, 2, 5, 6, 7] == find_started(turns)
    queue.leave(turns[1])
    assert [0, 1, 2, 5, 6, 7, 8] == find_started(turns)
    for turn in turns:
        queue.leave(turn)
    assert ({}, {}, {}) == (queue._running, dict(queue._waiting), queue._slots._taken)


def test_queue_starts_no_more_look_ups_than_remaining_failures():
    """The others wait, and are rejected when no failure remains and no look-up is running."""
    remaining, queue = [2], LookupQueue(16, 100)
    turns = [join(queue, "a", lambda: remaining[0]) for _ in range(5)]

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
        join(queue, address)
    with pytest.raises(Overloaded):
        join(queue, "a")
    for address in "bc":
        join(queue, address)
    with pytest.raises(Overloaded):
        join(queue, "d")


def test_queue_removes_abandoned_turns():
    """Turns of a parent process do not change the counts of a child."""
    queue, forked = LookupQueue(2, 9), LookupQueue(2, 9)
    turns = [join(queue, "a") for _ in range(3)]
    queue.leave(turns[1])
    parent_turns = [join(forked, "a") for _ in range(2)]
    forked._reset()
    forked._slots._reset()
    for turn in parent_turns:
        forked.leave(turn)

    assert [0] == find_started(turns)[:1]
    assert [turns[0]] == [*queue._running]
    assert ({}, {}) == (forked._running, forked._slots._taken)


def test_turn_may_be_left_more_than_once():
    queue = LookupQueue(2, 9)
    turns = [join(queue, address) for address in "aab"]
    for _ in range(2):
        queue.leave(turns[0])
        queue.leave(turns[2])

    assert [0, 1, 2] == find_started(turns)
    assert [turns[1]] == [*queue._running] == [*queue._slots._taken]


def test_turn_may_be_left_while_this_thread_holds_the_lock():
    """Garbage collection may end a request: the holder of the lock then starts the next turn."""
    queue, to_leave = LookupQueue(1, 9), []

    def collect_garbage():
        while to_leave:
            queue.leave(to_leave.pop())
        return 1

    to_leave.append(join(queue, "a"))
    second = join(queue, "b", collect_garbage)
    third = join(queue, "c")

    assert [] == find_started([second, third])
    queue._remove = lambda turn, remove=queue._remove: (collect_garbage(), remove(turn))
    queue.leave(LookupTurn("d", None))

    assert [0] == find_started([second, third])
