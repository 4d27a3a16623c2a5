"""Support for gevent and eventlet, which patch the standard library to replace threads by greenlets."""

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

__all__ = ["call_in_os_thread", "is_patched", "warn_if_patched_late"]

logger = logging.getLogger("modelgate")

T = TypeVar("T")


def is_patched() -> bool:
    """Return True if the threads of the standard library are greenlets."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return (gevent is not None and gevent.is_module_patched("threading")) or (
        eventlet is not None and eventlet.is_monkey_patched("thread")
    )


_was_patched = is_patched()


def warn_if_patched_late() -> None:
    """Log a warning, once in a process, if the standard library was patched after modelgate was imported."""
    global _was_patched
    if not _was_patched and is_patched():
        _was_patched = True
        logger.warning(
            "modelgate was imported before gevent or eventlet patched the standard library, so requests may"
            " hang: patch before importing modelgate; with gunicorn --preload, call gevent.monkey.patch_all()"
            " at the top of the gunicorn configuration file"
        )


def call_in_os_thread(function: Callable[[], T]) -> T:
    """Call *function* in a thread of the operating system, so that other greenlets run in the meantime."""
    if "gevent.monkey" in sys.modules:
        from gevent import get_hub

        return get_hub().threadpool.apply(function)  # type: ignore[no-any-return]
    from eventlet import tpool

    return tpool.execute(function)  # type: ignore[no-any-return]
