"""Isolate exceptions, so that they affect only the call that raised them."""

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["in_main_thread", "isolate_error", "isolate_errors"]

P = ParamSpec("P")
T = TypeVar("T")


def isolate_errors(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of *call*. If it raises an exception, raise the result of `isolate_error` instead."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        raise isolate_error(error)  # noqa: B904  it is the same error, or has it as its cause


def isolate_error(error: BaseException) -> Exception:
    """Return *error*, or a RuntimeError if *error* would affect more than the failed call.

    SystemExit and a panic of an extension module would end the worker process. CancelledError would look like
    the cancellation of the request. A Future cannot store StopIteration.

    Raises:
        KeyboardInterrupt: *error* is a KeyboardInterrupt in the main thread, possibly from Ctrl-C.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    if isinstance(error, KeyboardInterrupt) and in_main_thread():
        raise error
    isolated = RuntimeError(f"the call raised {type(error).__name__}")
    isolated.__cause__ = error
    return isolated


def in_main_thread() -> bool:
    """Return True in the main thread, the only one in which signal handlers run."""
    return threading.get_ident() == threading.main_thread().ident
