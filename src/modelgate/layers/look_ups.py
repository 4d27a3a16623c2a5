"""Bounds on requests whose key is not accepted yet."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from ..errors import Overloaded
from ..flow.forks import renew_in_child
from ..http import Request

__all__ = ["FailureCount", "Slots", "Turn", "Turns"]


class FailureCount(Protocol):
    """Count of failed authentication by address, see `AuthFailures`."""

    def left(self, request: Request) -> int:
        """Return how many more failures the address of *request* may have."""

    def check(self, request: Request) -> None:
        """Raise `RateLimitExceeded` if the address may have no more failures."""

    def count(self, request: Request) -> None:
        """Count a failure. Raises `RateLimitExceeded` if it may have no more."""


class Slots:
    """Bound on what is under way, in total and for one address.

    Args:
        most: Bound in total.
        each: Bound for one address.
    """

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._renew()
        renew_in_child(self, Slots._renew)

    def _renew(self) -> None:
        """Forget what is under way: at the beginning, and in a forked child."""
        self._lock = threading.Lock()
        # Only addresses with something under way use memory.
        self._taken: dict[str, int] = {}
        self._total = 0

    def enter(self, address: str) -> None:
        """Take a slot. Raises `Overloaded` if there is none."""
        with self._lock:
            taken = self._taken.get(address, 0)
            if self._total >= self._most or taken >= self._each:
                raise Overloaded
            self._taken[address] = taken + 1
            self._total += 1

    def leave(self, address: str) -> None:
        """Free a slot."""
        with self._lock:
            self._total -= _decrement(self._taken, address)


class Turn(Future[bool]):
    """Turn of one look-up. Its result is whether the key may be looked up.

    Args:
        address: See `Turns.queue`.
        left: See `Turns.queue`.
    """

    def __init__(self, address: str, left: Callable[[], int] | None) -> None:
        super().__init__()
        self.address = address
        self.left = left


class Turns:
    """Order of look-ups: a few at once, taken from the addresses in rotation.

    Of one address at most half of them are under way, and no more than it has failures left, so that no
    more keys are looked up than may be wrong. The others wait; they are rejected once no failure is left.

    Args:
        at_once: Number of look-ups that may be under way.
        most: Number of look-ups that may be under way or wait; half of it for one address.
    """

    def __init__(self, at_once: int, most: int) -> None:
        self._at_once = at_once
        self._slots = Slots(most, max(1, most // 2))
        self._renew()
        renew_in_child(self, Turns._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._under_way: dict[str, int] = {}

    def queue(self, address: str, left: Callable[[], int] | None) -> Turn:
        """Return a turn, which the caller must `leave`.

        Args:
            address: Address of the caller.
            left: Returns how many failures the address has left; None for any number.

        Raises:
            Overloaded: too many wait.
        """
        self._slots.enter(address)
        turn = Turn(address, left)
        with self._lock:
            self._waiting.setdefault(address, deque()).append(turn)
            self._begin()
        return turn

    def leave(self, turn: Turn) -> None:
        """End *turn*, whether or not it has come."""
        self._slots.leave(turn.address)
        with self._lock:
            waiting = self._waiting.get(turn.address, ())
            if turn in waiting:
                self._remove(turn)
            elif turn.done() and turn.result():
                _decrement(self._under_way, turn.address)
            self._begin()

    def _remove(self, turn: Turn) -> None:
        waiting = self._waiting[turn.address]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[turn.address]

    def _begin(self) -> None:
        passed_over = 0
        while sum(self._under_way.values()) < self._at_once and passed_over < len(self._waiting):
            address, turns = next(iter(self._waiting.items()))
            self._waiting.move_to_end(address)
            turn, under_way, room = turns[0], self._under_way.get(address, 0), max(1, self._at_once // 2)
            if turn.left is not None:
                room = min(room, turn.left())
            may_begin = under_way < room
            if under_way and not may_begin:
                # What is under way may succeed, and leave its turn to this one.
                passed_over += 1
                continue
            passed_over = 0
            self._remove(turn)
            if may_begin:
                self._under_way[address] = under_way + 1
            turn.set_result(may_begin)


def _decrement(counts: dict[str, int], address: str) -> int:
    """Count one less of *address* and return 1, or return 0 if there is none, as in a forked child."""
    count = counts.pop(address, 0)
    if count > 1:
        counts[address] = count - 1
    return min(count, 1)
