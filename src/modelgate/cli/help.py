"""Format examples for the help pages."""

__all__ = ["examples"]


def examples(*commands: str) -> str:
    """Return the epilog of a help page: a line ``modelgate <command>`` for each of *commands*."""
    # A line with \b keeps click from joining the lines of a paragraph.
    return "\n".join(["\b", "Examples:", *(f"  modelgate {command}" for command in commands)])
