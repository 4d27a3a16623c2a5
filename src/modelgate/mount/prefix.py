"""Check the prefixes of mount points."""

from ..errors import ConfigurationError

__all__ = ["require_prefix"]


def require_prefix(prefix: str) -> None:
    """Raise `ConfigurationError` unless *prefix* is a path such as ``/ml``, which does not end in a slash."""
    if not isinstance(prefix, str) or not prefix.startswith("/") or prefix.endswith("/"):
        raise ConfigurationError(
            f'prefix must be a path such as "/ml", without a slash at the end (got {prefix!r})'
        )
