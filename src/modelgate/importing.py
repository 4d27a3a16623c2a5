"""Import objects by their import path, ``module:attribute``, and create gates."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from .errors import ConfigurationError

__all__ = ["create_gate", "import_object"]


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


def create_gate(source: str | Callable[[], Any]) -> Any:
    """Return the gate that *source* names or creates.

    Args:
        source: Import path of a gate, or of a function that returns one; or such a function.

    Raises:
        ConfigurationError: *source* cannot be imported.
    """
    value = import_object(source, "gate") if isinstance(source, str) else source
    # A gate is callable, too. An attribute identifies it, because this module must not import its class.
    return value() if callable(value) and not hasattr(value, "deployments") else value
