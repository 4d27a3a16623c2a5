"""OpenAPI description of the native option ``context``, and of the member that it adds to rows."""

from .openapi_spec import JSONSchema, object_schema

__all__ = ["CONTEXT_PARAMETER", "CONTEXT_SCHEMA"]

CONTEXT_PARAMETER: JSONSchema = {
    "name": "context",
    "in": "query",
    "description": "Whether to return where the values of each row lie in the training data",
    "schema": {"type": "boolean", "default": False},
}

CONTEXT_SCHEMA: JSONSchema = {
    "type": "object",
    "description": "Comparison of the values with the training data, by column",
    "additionalProperties": object_schema(
        percentile={"type": "number", "minimum": 0, "maximum": 100},
        outside={"enum": ["below", "above"], "description": "The number is outside of the training range"},
        share={"type": "number", "minimum": 0, "maximum": 1},
        unseen={"type": "boolean", "description": "No training row has the value"},
    ),
    "examples": [{"age": {"percentile": 87.5}, "plan": {"share": 0.0, "unseen": True}}],
}
"""Member ``context`` of a row."""
