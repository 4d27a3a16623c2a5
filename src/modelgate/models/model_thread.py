"""Run model loads and calls outside of a request in short-lived threads.

OpenMP keeps worker threads for each thread that used it, and they do not survive ``fork``: if a thread has
called a model and then forks, as with ``gunicorn --preload``, a model in the child waits for them forever.
Some models use OpenMP while they are unpickled. The thread must therefore end with the call: it cannot come
from a pool, and the call has no timeout.
"""

import contextvars
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from .sklearn_config import current_sklearn_config, sklearn_config

__all__ = ["in_model_thread"]

P = ParamSpec("P")
T = TypeVar("T")


def in_model_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run *call* in a new thread and return its result.

    The thread has the caller's context variables and its scikit-learn configuration, which is local
    to a thread.
    """
    config = current_sklearn_config()
    context = contextvars.copy_context()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with sklearn_config(config):
                results.append(context.run(partial(call, *args, **kwargs)))
        except BaseException as error:
            errors.append(error)

    # A daemon thread: a call that hangs must not keep the program from exiting.
    thread = threading.Thread(target=run, name="modelgate model", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()
    return results.pop()
