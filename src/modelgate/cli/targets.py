"""``module:gate``: a gate, found where Python finds the module of the app."""

import importlib
import os
import sys
from typing import TYPE_CHECKING

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..gate import Gate

__all__ = ["gate_at"]


def gate_at(target: str) -> "Gate":
    """The gate that *target* names: ``app:gate``, ``shop.web:gates.churn``. The module is imported.

    Raises:
        ConfigurationError: there is none.
    """
    from ..gate import Gate

    module, _, names = target.partition(":")
    if not module or not names:
        raise ConfigurationError(f"{target!r}: accepts module:gate, as a server is told module:app")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  a path of Python's is text
    try:
        found = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{target}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(found, Gate):
        raise ConfigurationError(f"{target}: is a {type(found).__name__}, and no Gate")
    return found
