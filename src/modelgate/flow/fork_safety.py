"""Reset locks and thread state in forked children.

A server such as ``gunicorn --preload`` builds the gate and then forks. Only the thread that forks
exists in the child, so this state is reset there:

- locks and conditions: a thread that does not exist in the child may hold them forever;
- threads, their queues, and the calls and futures that these threads would have finished;
- counts of calls in flight: these calls continue in the parent only;
- metrics, which are per process;
- database connections, which parent and child must not share;
- random generators: parent and child would generate the same request ids.

State that does not depend on the process (loaded models, caches, rate limit counts) is not reset.
"""

import os
from collections.abc import Callable
from types import MethodType
from typing import Any, cast
from weakref import WeakKeyDictionary

__all__ = ["reset_after_fork"]

_resets: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def reset_after_fork(method: Callable[[], None]) -> None:
    """Call *method* in every forked child, in the order of registration.

    Args:
        method: Bound method. It replaces a method of the same object that was registered before. Only a weak
            reference to the object is stored.
    """
    bound = cast(MethodType, method)
    _resets[bound.__self__] = bound.__func__


def _reset_all() -> None:
    for owner, reset in list(_resets.items()):
        reset(owner)


# There is no fork on Windows.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
