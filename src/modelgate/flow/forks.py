"""What a forked child must not go on with: a lock held by a thread that the child does not have."""

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["renew_in_child"]

T = TypeVar("T")

_renewed: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def renew_in_child(thing: T, renew: Callable[[T], None]) -> None:
    """Have every forked child begin with ``renew(thing)``, which is a function of its class."""
    _renewed[thing] = renew


def _renew_all() -> None:
    for thing, renew in list(_renewed.items()):
        renew(thing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
