"""Examples on the help pages."""

__all__ = ["examples"]


def examples(*commands: str) -> str:
    """Return the epilog of a help page, with the arguments of each command after ``modelgate``."""
    # A line with \b keeps click from joining the lines of a paragraph.
    return "\n".join(["\b", "Examples:", *(f"  modelgate {command}" for command in commands)])
