"""Validate functions that are options of a layer."""

import inspect

from ..errors import ConfigurationError

__all__ = ["require_sync"]


def require_sync(**options: object) -> None:
    """Reject async functions, because layers call their options without awaiting the result.

    An async function returns a coroutine. As a condition it would always be true, and as a caller's identity
    it would differ in every call.

    Raises:
        ConfigurationError: One of *options* is an async function.
    """
    for name, option in options.items():
        call = getattr(type(option), "__call__", None)  # noqa: B004  on the class, not the instance
        if inspect.iscoroutinefunction(option) or inspect.iscoroutinefunction(call):
            raise ConfigurationError(f"{name} must be a function that is not async (got {option!r})")
