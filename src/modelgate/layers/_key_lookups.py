"""Limits for requests whose key has not been accepted yet."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future

from ..errors import Overloaded
from ..flow.fork_safety import reset_after_fork

__all__ = ["AddressSlots", "LookupQueue", "LookupTurn"]


class AddressSlots:
    """Limit on concurrent operations, in total and per address.

    Args:
        limit: Maximum in total.
        per_address: Maximum for one address.
    """

    def __init__(self, limit: int, per_address: int) -> None:
        self._limit = limit
        self._per_address = per_address
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start with all slots free."""
        self._lock = threading.Lock()
        # Only addresses with a taken slot are stored.
        self._taken: dict[str, int] = {}
        self._total = 0

    def enter(self, address: str) -> None:
        """Take a slot. Raise `Overloaded` if none is free."""
        with self._lock:
            taken = self._taken.get(address, 0)
            if self._total >= self._limit or taken >= self._per_address:
                raise Overloaded
            self._taken[address] = taken + 1
            self._total += 1

    def leave(self, address: str) -> None:
        """Free a slot."""
        with self._lock:
            self._total -= _decrement(self._taken, address)


class LookupTurn(Future[bool]):
    """Future of one queued look-up: True if the look-up may start, False if it was rejected.

    Args:
        address: Address of the caller.
        remaining_failures: Returns how many more failures are allowed for the address; None for no limit.
    """

    def __init__(self, address: str, remaining_failures: Callable[[], int] | None) -> None:
        super().__init__()
        self.address = address
        self.remaining_failures = remaining_failures


class LookupQueue:
    """Queue that runs a limited number of look-ups, taken from the addresses in rotation.

    The running look-ups of one address are at most:

    - half of *max_running*;
    - the number of failures still allowed for the address, because every key may be wrong.

    Further look-ups of the address wait. If no failure is allowed and no look-up of the address is running,
    they are rejected.

    Args:
        max_running: Maximum number of running look-ups.
        limit: Maximum number of running and waiting look-ups; half of it for one address.
    """

    def __init__(self, max_running: int, limit: int) -> None:
        self._max_running = max_running
        self._slots = AddressSlots(limit, max(1, limit // 2))
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, deque[LookupTurn]] = OrderedDict()
        self._running: dict[str, int] = {}

    def queue(self, address: str, remaining_failures: Callable[[], int] | None) -> LookupTurn:
        """Queue a look-up and return its turn. The caller must end the turn by `leave`.

        Args:
            address: Address of the caller.
            remaining_failures: Returns how many more failures are allowed for the address; None for no limit.

        Raises:
            Overloaded: Too many look-ups are waiting.
        """
        self._slots.enter(address)
        turn = LookupTurn(address, remaining_failures)
        with self._lock:
            self._waiting.setdefault(address, deque()).append(turn)
            self._start_turns()
        return turn

    def leave(self, turn: LookupTurn) -> None:
        """End *turn*, whether it is running or waiting."""
        self._slots.leave(turn.address)
        with self._lock:
            waiting = self._waiting.get(turn.address, ())
            if turn in waiting:
                self._remove(turn)
            elif turn.done() and turn.result():
                _decrement(self._running, turn.address)
            self._start_turns()

    def _remove(self, turn: LookupTurn) -> None:
        waiting = self._waiting[turn.address]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[turn.address]

    def _start_turns(self) -> None:
        skipped = 0
        while sum(self._running.values()) < self._max_running and skipped < len(self._waiting):
            address, turns = next(iter(self._waiting.items()))
            self._waiting.move_to_end(address)
            turn, running, room = turns[0], self._running.get(address, 0), max(1, self._max_running // 2)
            if turn.remaining_failures is not None:
                room = min(room, turn.remaining_failures())
            may_start = running < room
            if running and not may_start:
                # Leave it waiting: a running look-up of this address may succeed and so make room for it.
                skipped += 1
                continue
            skipped = 0
            self._remove(turn)
            if may_start:
                self._running[address] = running + 1
            turn.set_result(may_start)


def _decrement(counts: dict[str, int], address: str) -> int:
    """Decrement the count of *address*. Return the difference: 1, or 0 if there is no count, as in a forked child."""
    count = counts.pop(address, 0)
    if count > 1:
        counts[address] = count - 1
    return min(count, 1)
