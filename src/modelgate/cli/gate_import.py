"""Import of a gate that is named on the command line, ``module:gate``."""

import importlib
import os
import sys
from typing import TYPE_CHECKING

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..gate import Gate

__all__ = ["import_gate"]


def import_gate(target: str) -> "Gate":
    """Import the gate *target* from the current folder or the Python path.

    Args:
        target: Module and attribute: ``app:gate``, ``shop.web:gates.churn``.

    Raises:
        ConfigurationError: The module cannot be imported, or the attribute is not a gate.
    """
    from ..gate import Gate

    module, _, names = target.partition(":")
    if not module or not names:
        raise ConfigurationError(f"gate must be module:attribute, such as app:gate (got {target!r})")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  sys.path takes strings
    try:
        value = importlib.import_module(module)
        for name in names.split("."):
            value = getattr(value, name)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{target}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(value, Gate):
        raise ConfigurationError(f"{target} must be a Gate (got {type(value).__name__})")
    return value
