"""Loads and calls of models outside of a request, each in a thread of its own.

OpenMP keeps its worker threads for the thread that used them, and they do not survive ``fork``: a process
that is forked by a thread that has called a model, as by ``gunicorn --preload``, waits for them forever.
Some models use it while they are unpickled.
"""

import contextvars
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

__all__ = ["in_model_thread"]

P = ParamSpec("P")
T = TypeVar("T")


def in_model_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of *call*, which runs in a thread that ends with it.

    It has the caller's context variables, and the caller's configuration of scikit-learn, which is
    local to a thread.
    """
    sklearn: Any = sys.modules.get("sklearn")
    config = sklearn.get_config() if hasattr(sklearn, "get_config") else None
    context = contextvars.copy_context()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            if config is not None:
                sklearn.set_config(**config)
            results.append(context.run(partial(call, *args, **kwargs)))
        except BaseException as error:
            errors.append(error)

    # One that hangs keeps no program from ending.
    thread = threading.Thread(target=run, name="modelgate model", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()
    return results.pop()
