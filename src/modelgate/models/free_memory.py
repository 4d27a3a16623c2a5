"""Return the memory that loading a model has freed to the operating system."""

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["free_memory"]

_LARGE = 8 * 1024 * 1024


def free_memory(size: int) -> None:
    """Return freed memory to the operating system after a model file of *size* bytes was loaded, if it is large.

    The arrays of a model lie in the heap between temporary ones. glibc keeps the gaps: a forest of 88 MB
    occupies 270 MB after it was loaded, and 94 MB after this call. Other C libraries need no call.
    """
    if size >= _LARGE and (trim := _find_trim()) is not None:
        trim(0)


@cache
def _find_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc; TypeError: Windows
        return None
    return trim
