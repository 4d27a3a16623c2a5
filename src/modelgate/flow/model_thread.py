"""Threads in which models are loaded and called.

OpenMP starts worker threads for each thread that calls it, and the workers do not survive ``fork``. Many models
use OpenMP, some even while they are unpickled. If a thread calls a model and then forks, as with
``gunicorn --preload``, a model that the thread calls in the child waits for the workers forever.

So a model is loaded and tested in a new thread, which then ends. If a thread has called a model before a
fork, it calls models in new threads after the fork.
"""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from .fork_safety import reset_after_fork
from .sklearn_config import current_sklearn_config, sklearn_config

__all__ = ["ModelLock", "call_model", "in_model_thread", "start_model_thread"]

P = ParamSpec("P")
T = TypeVar("T")


def in_model_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run *call* in a new thread and return its result.

    The call runs with the context variables and the scikit-learn configuration of the caller. The
    configuration must be passed on, because scikit-learn stores it per thread.
    """
    return start_model_thread(call, *args, **kwargs).result()


def start_model_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Like `in_model_thread`, but return a future for the result instead of waiting."""
    config = current_sklearn_config()
    context = contextvars.copy_context()
    future: Future[T] = Future()

    def run() -> None:
        try:
            with sklearn_config(config):
                result = context.run(partial(call, *args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    # Use a daemon thread, so that a call that hangs does not keep the program from exiting.
    threading.Thread(target=run, name="modelgate model", daemon=True).start()
    return future


class _Thread(threading.local):
    """State of the current thread.

    Attributes:
        has_called: Whether the thread has called a model.
        has_forked: Whether the thread called a model before this process was forked.
    """

    has_called = has_forked = False

    def reset(self) -> None:
        self.has_forked = self.has_called


_thread = _Thread()
reset_after_fork(_thread.reset)


def call_model(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run *call*, which calls a model, and return its result."""
    if _thread.has_forked:
        return in_model_thread(call, *args, **kwargs)
    _thread.has_called = True
    return call(*args, **kwargs)


class ModelLock:
    """Lock of a model that is not thread-safe."""

    @classmethod
    def of(cls, model: object) -> "ModelLock":
        """Return the lock of *model*, which is the same for all callers.

        Callers must keep references to the lock and to *model*.
        """
        return _locks.setdefault(id(model), cls())

    def __init__(self) -> None:
        self._reset()
        reset_after_fork(self._reset)

    def _reset(self) -> None:
        # Reentrant: a model may call its own deployment.
        self._lock = threading.RLock()

    def call_model(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Like the function `call_model`, but make only one call at a time."""
        # The thread that calls the model must hold the lock, because only that thread can acquire it again.
        return call_model(self._call, partial(call, *args, **kwargs))

    def _call(self, call: Callable[[], T]) -> T:
        with self._lock:
            return call()


_locks: WeakValueDictionary[int, ModelLock] = WeakValueDictionary()
"""Locks by the id of the model."""
