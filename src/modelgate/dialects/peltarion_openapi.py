"""The OpenAPI document of a deployment, in the shape that Peltarion's client sidekick reads.

sidekick looks for the path by the literal text ``{deploymentId}``, for an input's type in
``x-peltarion``, and for the outputs in ``properties`` of the array ``rows`` itself, where JSON Schema
gives them no meaning; they stand below ``items`` too.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..schema import Column
from ..scoring import Description, Target

__all__ = ["document", "label_text"]

_TYPES = {
    "number": ["number"],
    "integer": ["integer"],
    "boolean": ["boolean"],
    "text": ["string"],
    "any": ["number", "string", "boolean"],
}


def document(told: Description) -> dict[str, Any]:
    """The document of *told*. Its server is relative: it is served two segments below the gate."""
    parameter = {"name": "deploymentId", "in": "path", "required": True, "schema": {"const": told.name}}
    inputs = {column.name: _input(column) for column in told.schema}
    outputs = {target.name: _output(target) for target in told.targets}
    required = [column.name for column in told.schema if column.required]
    return {
        "openapi": "3.1.0",
        "info": {"title": told.name, "version": told.version},
        "servers": [{"url": "../.."}],
        "security": [{"token": []}],
        "paths": {
            "/deployment/{deploymentId}/forward": {
                "x-peltarion-tensorjson": True,
                "parameters": [parameter],
                "post": {
                    "summary": "Predict",
                    "requestBody": {"required": True, **_content("input-row-batch")},
                    "responses": {
                        "200": {"description": "A row for each row sent", **_content("output-row-batch")},
                        "default": {"description": "The request failed", **_content("error")},
                    },
                },
            }
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "input-row": {"type": "object", "properties": inputs, "required": required},
                "input-row-batch": _batch("input-row"),
                "output-row": {"type": "object", "properties": outputs, "required": list(outputs)},
                "output-row-batch": _batch("output-row", {"properties": outputs}),
                "error": {
                    "type": "object",
                    "properties": {"errorCode": {"type": "string"}, "errorMessage": {"type": "string"}},
                },
            },
        },
    }


def _content(schema: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _reference(schema)}}}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _batch(row: str, beside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    rows = {"type": "array", "items": _reference(row), **(beside or {})}
    return {"type": "object", "properties": {"rows": rows}, "required": ["rows"]}


def _input(column: Column) -> dict[str, Any]:
    null, types = [None] * column.nullable, _TYPES[column.kind]
    text = column.kind == "text" or isinstance(column.example, str)
    rule = {
        "type": [*types, "null"] if column.nullable else types,
        "enum": None if column.levels is None else [*column.levels, *null],
        "minimum": column.minimum,
        "maximum": column.maximum,
        "maxLength": column.max_length,
        "description": column.description or None,
    }
    told = {name: value for name, value in rule.items() if value is not None}
    return told | _feature("text" if text else "numeric")


def _output(target: Target) -> dict[str, Any]:
    if target.classes is None:
        return {"type": "number"} | _feature("numeric")
    labels = [label_text(label) for label in target.classes]
    if not target.probabilities:
        return {"type": "string", "enum": labels} | _feature("text")
    scores = {label: {"type": "number"} for label in labels}
    return {"type": "object", "properties": scores, "required": labels} | _feature("categorical", len(labels))


def _feature(kind: str, length: int = 1) -> dict[str, Any]:
    return {"x-peltarion": {"type": kind, "shape": [length]}}


def label_text(label: object) -> str:
    """A class as text: a number or a boolean as JSON spells it."""
    return label if isinstance(label, str) else msgspec.json.encode(label).decode()
