"""Run coroutines from blocking code."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from .greenlets import call_in_os_thread, is_patched

__all__ = ["run_coroutine"]

T = TypeVar("T")


def run_coroutine(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a new event loop, and return its result."""
    if is_patched():
        # asyncio has one running loop per OS thread, which all greenlets of the thread share.
        return call_in_os_thread(partial(contextvars.copy_context().run, lambda: asyncio.run(function())))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function())
    # In a notebook or an async test a loop runs already, and event loops cannot be nested.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, lambda: asyncio.run(function())).result()
