"""Describe values that the schema rejects and the model would accept, for the owner of the model."""

from typing import Any

from .introspection.unknown_levels import columns_with_unknown_levels
from .schema import Schema

__all__ = ["ALLOW_UNKNOWN_LEVELS", "describe_rejected_levels"]

ALLOW_UNKNOWN_LEVELS = (
    'set unknown_levels="warn" on the deployment to accept them, or "reject" to keep rejecting them'
)


def describe_rejected_levels(model: Any, schema: Schema) -> str | None:
    """Return a sentence about the columns in which *schema* rejects unknown values, but *model* accepts them.

    Returns None if there are no such columns.
    """
    if schema.options.unknown_levels != "reject" or not hasattr(model, "predict"):
        return None
    accepted = columns_with_unknown_levels(model)
    names = [column.name for column in schema if column.levels is not None and column.name in accepted]
    if not names:
        return None
    return f"unknown values of {', '.join(names)} are rejected, although the model would accept them"
