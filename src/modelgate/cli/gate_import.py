"""Import the gate that the command line names as ``module:gate``."""

from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..importing import import_object

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

    value = import_object(target, "gate")
    if not isinstance(value, Gate):
        raise ConfigurationError(f"{target} must be a Gate (got {type(value).__name__})")
    return value
