"""Making keys."""

import secrets

__all__ = ["generate"]


def generate() -> str:
    """A new API key of 192 random bits. It is kept nowhere: show it once."""
    return "mg_" + secrets.token_urlsafe(24)
