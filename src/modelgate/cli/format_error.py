"""Show errors on the command line."""

from ..bulk.option_error import OptionError

__all__ = ["format_error"]


def format_error(error: BaseException) -> str:
    """Return the message of *error*, with options named as on the command line."""
    return error.with_flags() if isinstance(error, OptionError) else str(error)
