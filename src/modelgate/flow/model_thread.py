"""Short-lived threads for loads and calls of a model outside of a request.

These threads prevent a deadlock after ``fork``. Many models use OpenMP, some even while they are unpickled.
OpenMP starts worker threads for each thread that calls it, and the workers do not survive ``fork``. If a
thread calls a model and then forks, as with ``gunicorn --preload``, a model in the child waits for the
workers forever.

Each call therefore gets a new thread, which ends with the call. There is no pool, and no call has a timeout.
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

    The call runs with the context variables and the scikit-learn configuration of the caller. The
    configuration must be passed on, because scikit-learn stores it per thread.
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

    # Use a daemon thread, so that a call that hangs does not keep the program from exiting.
    thread = threading.Thread(target=run, name="modelgate model", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()
    return results.pop()
