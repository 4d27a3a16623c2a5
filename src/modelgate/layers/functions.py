"""Functions that are options of a layer."""

import inspect

from ..errors import ConfigurationError

__all__ = ["refuse_async"]


def refuse_async(**options: object) -> None:
    """Refuse functions that would give a coroutine, which is true and names nobody.

    Raises:
        ConfigurationError: one of *options* is such a function.
    """
    for name, option in options.items():
        call = getattr(type(option), "__call__", None)  # noqa: B004  of its class
        if inspect.iscoroutinefunction(option) or inspect.iscoroutinefunction(call):
            raise ConfigurationError(f"{name}={option!r}: accepts a function that is not async")
