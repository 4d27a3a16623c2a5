"""The rows of a schema in JSON Schema, draft 2020-12."""

from ..dialects.document import JSONSchema, array
from ..errors import RequestError
from ..schema import Column, Policy, Schema
from ..schema.columns import EXACT, Level

__all__ = ["column_schema", "example_of", "row_schemas"]

_TYPES = {
    "number": ["number"],
    "integer": ["integer"],
    "boolean": ["boolean"],
    "text": ["string"],
    "any": ["number", "string", "boolean"],
}


def row_schemas(schema: Schema) -> dict[str, JSONSchema]:
    """The components that the documents of dialects refer to: ``Row``, ``Values`` and ``Columns``."""
    columns = {column.name: column_schema(column, schema.policy) for column in schema}
    row = _object(schema, columns)
    example = example_of(schema)
    if example is not None:
        row["examples"] = [example]
    return {
        "Row": row,
        "Values": {
            "type": "array",
            "description": "One row, in this order: " + ", ".join(columns),
            "prefixItems": list(columns.values()),
            "minItems": len(columns),
            "maxItems": len(columns),
        },
        "Columns": _object(schema, {name: array(told) for name, told in columns.items()}),
    }


def _object(schema: Schema, properties: dict[str, JSONSchema]) -> JSONSchema:
    told: JSONSchema = {
        "type": "object",
        "properties": properties,
        "required": [column.name for column in schema if column.required],
    }
    if schema.policy.extra == "forbid":
        told["additionalProperties"] = False
    return told


def example_of(schema: Schema) -> dict[str, Level | None] | None:
    """A row that the schema takes, None where none can be made up: a text with a pattern has no example."""
    example = {
        column.name: column.example
        for column in schema
        if column.example is not None or (column.nullable and column.required)
    }
    try:
        schema.read(example)
    except RequestError:
        return None
    return example


def column_schema(column: Column, policy: Policy) -> JSONSchema:
    """What a value of *column* must be: the rule of `Column.allows`."""
    told = _rule(column, policy)
    if column.nullable:
        told["type"] = [*told["type"], "null"]
        if "enum" in told:
            told["enum"] = [*told["enum"], None]
    if len(told["type"]) == 1:
        told["type"] = told["type"][0]
    if policy.lenient and column.kind not in ("text", "any"):
        told = {"anyOf": [told, {"type": "string", "description": "The same, as text"}]}
    words = {
        "description": column.description or None,
        "default": column.default,
        "examples": None if column.example is None else [column.example],
    }
    return told | {name: value for name, value in words.items() if value is not None}


def _rule(column: Column, policy: Policy) -> JSONSchema:
    told: JSONSchema = {"type": list(_TYPES[column.kind])}
    if column.levels is not None and policy.unknown_levels == "refuse":
        return {**told, "enum": list(column.levels)}
    least, greatest = column.minimum, column.maximum
    if column.kind == "integer":
        # Beyond these a float64 would hold its neighbour.
        least = -EXACT if least is None else max(-EXACT, least)
        greatest = EXACT if greatest is None else min(EXACT, greatest)
    rules = {"minimum": least, "maximum": greatest, "maxLength": column.max_length, "pattern": column.pattern}
    return told | {name: value for name, value in rules.items() if value is not None}
