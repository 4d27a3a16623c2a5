"""Import objects by their import path, ``module:attribute``."""

import importlib
import os
import sys
from typing import Any

from .errors import ConfigurationError

__all__ = ["import_object"]


def import_object(target: str, option: str) -> Any:
    """Import *target* from the current folder or the Python path.

    Args:
        target: Module and attribute: ``app:gate``, ``shop.web:gates.churn``.
        option: Name of the option in errors.

    Raises:
        ConfigurationError: *target* cannot be imported.
    """
    module, _, names = target.partition(":")
    if not module or not names:
        raise ConfigurationError(f"{option} must be module:attribute, such as app:gate (got {target!r})")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  sys.path takes strings
    try:
        value = importlib.import_module(module)
        for name in names.split("."):
            value = getattr(value, name)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{target}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return value
