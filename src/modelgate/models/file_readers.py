"""Find vectorizers that open files, that is, those with ``input="filename"`` or ``input="file"``.

With such a model, a caller could read any file on the server.
"""

import contextlib
import gc
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from ..errors import ConfigurationError

__all__ = ["check_opens_no_files", "walk_parts"]

_Names: TypeAlias = tuple[str, ...]

_SKIPPED = (str, bytes, int, float, complex, type(None), np.generic, type, ModuleType, CodeType, FrameType)
"""Types to skip: they contain no other objects, or the whole program can be reached from them."""

_FUNCTION_LIMIT = 100_000
"""Maximum number of objects to search for a function, because its closure may contain the whole app."""


def check_opens_no_files(model: Any) -> None:
    """Raise `ConfigurationError` if a vectorizer in *model* opens files whose names come from callers.

    Args:
        model: Estimator or function. All parts of an estimator are searched. In a function, the closure, the
            defaults and the arguments of a partial are searched.
    """
    # As long as the module of the vectorizers is not imported, none can exist.
    text = sys.modules.get("sklearn.feature_extraction.text")
    kinds = [getattr(text, name, None) for name in ("CountVectorizer", "HashingVectorizer")]
    vectorizers = tuple(kind for kind in kinds if kind is not None)
    if not vectorizers:
        return
    limit = None if hasattr(model, "predict") else _FUNCTION_LIMIT
    for names, part in islice(walk_parts(model), limit):
        if issubclass(type(part), vectorizers):
            source = getattr(part, "input", "content")
            if not isinstance(source, str) or source != "content":
                where = f" at {' > '.join(names)}" if names else ""
                raise ConfigurationError(
                    f"{type(part).__name__}(input={source!r}){where} opens files that callers name:"
                    ' fit it on texts, with input="content"'
                )


def walk_parts(model: Any) -> Iterator[tuple[_Names, Any]]:
    """Yield *model* and each object reachable from it, with the attribute names on the way to the object.

    Only the last four names are included.
    """
    # References to the objects prevent the reuse of their ids.
    seen = {id(model): model}
    queue: deque[tuple[_Names, Any]] = deque([((), model)])
    while queue:
        names, value = queue.popleft()
        yield names, value
        for name, part in _children(value):
            if id(part) not in seen and not issubclass(type(part), _SKIPPED):
                seen[id(part)] = part
                queue.append(((*names[-3:], name) if name else names, part))


def _children(value: Any) -> Iterator[tuple[str | None, Any]]:
    """Yield the objects that *value* refers to, each with its attribute name, or None if it has no name."""
    kind = type(value)  # isinstance would run code of proxies.
    if issubclass(kind, FunctionType):
        # Leave out the globals, from which the whole program can be reached.
        for part in (value.__closure__, value.__defaults__, value.__kwdefaults__, value.__dict__):
            yield None, part
        return
    if issubclass(kind, np.ndarray) and value.dtype.hasobject:
        # numpy does not report the items of an array to the garbage collector.
        for part in np.asarray(value).ravel().tolist():
            yield None, part
    if issubclass(kind, dict):
        for name, part in list(value.items()):
            yield name if isinstance(name, str) else None, part
    elif issubclass(kind, tuple) and len(value) > 1 and isinstance(value[0], str):
        # A pipeline step: its name, the transformer and possibly columns.
        for part in value[1:]:
            yield value[0], part
    with contextlib.suppress(Exception):
        yield from list(vars(value).items())
    for part in gc.get_referents(value):
        yield None, part
