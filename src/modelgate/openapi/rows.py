"""JSON Schemas (draft 2020-12) of rows, for OpenAPI documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..dialects.openapi_spec import ROWS, VALUES, JSONSchema, any_of_schema, array_schema
from ..errors import RequestError
from ..schema import Column, Schema, SchemaOptions
from ..schema.json_schema import to_json_schema
from ..scoring import Description

__all__ = ["column_schema", "example_of", "example_rows", "row_schemas"]

_MAX_ROWS = 100

_ANNOTATIONS = ("description", "default", "examples")


def row_schemas(schema: Schema) -> dict[str, JSONSchema]:
    """Return the JSON Schemas that dialects refer to, by name.

    ``Row`` is an object, ``Values`` an array of one row's values, ``Columns`` an object of arrays, and
    ``Items`` an array with one item per row.
    """
    columns = {column.name: column_schema(column, schema.options) for column in schema}
    row = _object(schema, columns)
    example = example_of(schema)
    if example is not None:
        row["examples"] = [example]
    items = [ROWS, array_schema(VALUES)]
    if len(columns) == 1:
        items += [array_schema(value) for value in columns.values()]
    return {
        "Row": row,
        "Values": {
            "description": "One row, in this order: " + ", ".join(columns),
            "type": "array",
            "prefixItems": list(columns.values()),
            # Client generators ignore or reject an array without "items". No further items are allowed.
            "items": {},
            "minItems": len(columns),
            "maxItems": len(columns),
        },
        "Columns": {
            "additionalProperties": array_schema({}),
            **_object(schema, {name: array_schema(value) for name, value in columns.items()}),
        },
        "Items": {"description": "One item per row", **any_of_schema(*items)},
    }


def _object(schema: Schema, properties: dict[str, JSONSchema]) -> JSONSchema:
    result: JSONSchema = {
        "type": "object",
        "properties": properties,
        "required": [column.name for column in schema if column.required],
    }
    if schema.options.extra_columns == "forbid":
        result["additionalProperties"] = False
    return result


def example_of(schema: Schema) -> dict[str, Any] | None:
    """Return an example row, or None if none is known, for example if a text column has a pattern."""
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


def example_rows(description: Description) -> Sequence[Mapping[str, Any]] | None:
    """Return rows that the deployment can score, or None if none are known or there are too many to show."""
    if description.time_series is not None:
        return description.example if len(description.example or ()) <= _MAX_ROWS else None
    row = example_of(description.schema)
    return None if row is None else [row]


def column_schema(column: Column, options: SchemaOptions) -> JSONSchema:
    """Return the JSON Schema of the values that are accepted for *column* with *options*."""
    schema = to_json_schema(column, any_level=options.unknown_levels != "reject")
    if not options.coerce_strings or column.kind in ("text", "any"):
        return schema
    annotations = {name: schema.pop(name) for name in _ANNOTATIONS if name in schema}
    return {"anyOf": [schema, {"type": "string", "description": "The value as text"}]} | annotations
