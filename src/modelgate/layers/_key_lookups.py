"""Limit body reads and key look-ups of callers whose key has not been accepted yet.

A body is read in a slot, and a key is looked up in a turn. A request may end at any time: when a signal
handler raises, or when garbage collection closes it while this thread holds a lock. So a slot or a turn can
be released at any time and more than once, and releasing it never waits for a lock.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from ..errors import Overloaded
from ..flow.fork_safety import reset_after_fork

__all__ = ["AddressSlots", "LookupQueue", "LookupTurn"]


class AddressSlots:
    """Limit on concurrent operations, in total and per address.

    Args:
        limit: Maximum number of operations in total.
        per_address: Maximum number of operations for one address.
    """

    def __init__(self, limit: int, per_address: int) -> None:
        self._limit = limit
        self._per_address = per_address
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        """Start with all slots free."""
        self._lock = threading.Lock()
        # Addresses by the owner of the slot.
        self._taken: dict[Hashable, str] = {}

    def enter(self, owner: Hashable, address: str) -> None:
        """Take a slot for *owner*. Raise `Overloaded` if none is free."""
        with self._lock:
            if len(self._taken) >= self._limit or count_address(self._taken, address) >= self._per_address:
                raise Overloaded
            self._taken[owner] = address

    def leave(self, owner: Hashable) -> None:
        """Free the slot of *owner*, if it has one."""
        self._taken.pop(owner, None)


class LookupTurn(Future[bool]):
    """Future of one look-up: True if the look-up may start, False if it was rejected.

    Args:
        address: Address of the caller.
        remaining_failures: Function that returns how many more failures are allowed for the address; None for
            no limit.
    """

    def __init__(self, address: str, remaining_failures: Callable[[], int] | None) -> None:
        super().__init__()
        self.address = address
        self.remaining_failures = remaining_failures


class LookupQueue:
    """Queue that lets a limited number of look-ups run at once. Addresses take turns.

    Two limits apply to the running look-ups of one address:

    - half of *max_running*;
    - the number of failures still allowed for the address, because every key may be wrong.

    Further look-ups of the address wait. They are rejected if no failure is allowed and none of the address's
    look-ups is running.

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
        self._running: dict[LookupTurn, str] = {}
        # Turns that have joined or left since the lock was last held.
        self._joined: deque[LookupTurn] = deque()
        self._left: deque[LookupTurn] = deque()

    def join(self, turn: LookupTurn) -> None:
        """Queue *turn*. The caller must call `leave` afterwards, even after an error.

        Raises:
            Overloaded: Too many look-ups are waiting.
        """
        self._slots.enter(turn, turn.address)
        self._joined.append(turn)
        self._update()

    def leave(self, turn: LookupTurn) -> None:
        """End *turn*, whether it is running, waiting or has already ended."""
        self._slots.leave(turn)
        self._left.append(turn)
        self._update()

    def _update(self) -> None:
        """Queue the look-ups that have joined, remove those that have left, and start those that are due.

        If the lock is held, return at once: its holder looks for further changes after releasing the lock.
        The holder may be this same thread, if garbage collection calls `leave`: waiting would be a deadlock.
        """
        while (self._joined or self._left) and not self._lock.locked():
            with self._lock:
                # Turns are removed last: an interruption may repeat a step, but not skip one.
                while self._joined:
                    turn = self._joined[0]
                    self._waiting.setdefault(turn.address, deque()).append(turn)
                    self._joined.popleft()
                while self._left:
                    self._remove(self._left[0])
                    self._left.popleft()
                self._start_turns()

    def _remove(self, turn: LookupTurn) -> None:
        self._running.pop(turn, None)
        waiting = self._waiting.get(turn.address, deque())
        while turn in waiting:
            waiting.remove(turn)

    def _start_turns(self) -> None:
        skipped = 0
        while len(self._running) < self._max_running and skipped < len(self._waiting):
            address, turns = next(iter(self._waiting.items()))
            if not turns:
                del self._waiting[address]
                continue
            self._waiting.move_to_end(address)
            running, room = count_address(self._running, address), max(1, self._max_running // 2)
            turn = turns[0]
            if turn.remaining_failures is not None:
                room = min(room, turn.remaining_failures())
            may_start = running < room
            if running and not may_start:
                # Leave it waiting: a running look-up of this address may succeed and so make room for it.
                skipped += 1
                continue
            skipped = 0
            if not turn.done():
                turn.set_result(may_start)
            if may_start:
                self._running[turn] = address
            turns.popleft()


def count_address(addresses: dict[Hashable, str] | dict[LookupTurn, str], address: str) -> int:
    """Return how many owners have *address*. Other threads may remove owners at the same time."""
    return [*addresses.values()].count(address)
