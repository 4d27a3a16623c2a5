"""Check the options that forecasters have in common."""

from collections.abc import Sequence

from ..errors import ConfigurationError
from .spec import TimeSeriesSpec

__all__ = ["require_history", "require_levels", "require_spec"]


def require_spec(spec: object) -> None:
    """Raise `ConfigurationError` unless *spec* is a `TimeSeriesSpec`."""
    if not isinstance(spec, TimeSeriesSpec):
        raise ConfigurationError(f"spec must be a TimeSeriesSpec (got {spec!r})")


def require_levels(levels: Sequence[float]) -> None:
    """Raise `ConfigurationError` unless *levels* are levels of prediction intervals, in percent."""
    if isinstance(levels, str) or not all(
        isinstance(level, int | float) and 0 < level < 100 for level in levels
    ):
        raise ConfigurationError(f"levels must be numbers above 0 and below 100 (got {levels!r})")


def require_history(spec: TimeSeriesSpec, length: int) -> None:
    """Raise `ConfigurationError` if the history of *spec* is shorter than *length* steps."""
    if spec.history_length < length:
        raise ConfigurationError(
            f"feature_derivation_window must have at least {length} steps, which the model needs"
            f" (got {spec.history_length})"
        )
