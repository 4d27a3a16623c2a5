"""Remove local variables from the tracebacks of errors."""

import traceback
from typing import TypeVar

__all__ = ["clear_locals"]

E = TypeVar("E", bound=BaseException)


def clear_locals(error: E) -> E:
    """Clear the local variables in the tracebacks of *error* and its causes, and return *error*.

    Otherwise a stored error would keep the variables in memory, and an error tracker might transmit their
    values.
    """
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        traceback.clear_frames(cause.__traceback__)
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return error
