"""Call models that are coroutine functions."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from ..flow import in_main_thread, run_coroutine

__all__ = ["is_async", "isolate_async_errors", "run_with_timeout"]


def is_async(model: Any) -> bool:
    """Return whether *model* is a coroutine function, or an object with one as its ``__call__``."""
    return inspect.iscoroutinefunction(model) or inspect.iscoroutinefunction(type(model).__call__)


async def isolate_async_errors(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Await *call*, and convert exceptions that would end the task or the program to RuntimeError.

    This is the counterpart of `isolate_errors` for a coroutine function.
    """
    task = asyncio.current_task()
    try:
        return await call()
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the function cancelled itself") from error
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and in_main_thread():
            raise
        if isinstance(error, GeneratorExit) and not _is_running(task):
            raise
        raise RuntimeError(f"the function raised {type(error).__name__}") from error


def _is_running(task: asyncio.Task[Any] | None) -> bool:
    """Return whether *task* is the current task. Return False while its coroutine is being closed."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


def run_with_timeout(function: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> Any:
    """Run a coroutine in a new event loop for at most *seconds*, and return its result."""
    return run_coroutine(lambda: asyncio.wait_for(function(), seconds))
